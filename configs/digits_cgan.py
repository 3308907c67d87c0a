"""Class-conditional R3GAN on scikit-learn's 8x8 handwritten digits.

Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline
  GAN", https://arxiv.org/abs/2501.05441: its loss (section 2), its networks
  (section 3.2) and its conditioning: an embedding concatenated to z, projection
  in D. Comments give the values of the authors' code for CIFAR-10.
Deviations: two stages of one block, 64 channels wide; no schedules; a larger
  gamma, not tuned; no augmentation.
Command:
  gan-jax train --config=configs/digits_cgan.py --workdir=DIR
  gan-jax sample --workdir=DIR --labels=0-9 --output=digits.png
Data: scikit-learn's, which need no download (1,257 to train, of which 250 are
  held out for validation, 540 to test).
Result: experiments/results/digits_cgan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'digits', 250
  config.data.batch_size = 64  # 512
  config.model.z_dim, config.model.z_prior = 64, 'normal'  # the same
  config.model.conditioning = 'concat_projection'
  config.model.embedding_dim = 64  # the same; 768 in D
  for network in config.model.generator, config.model.discriminator:
    network.name = 'r3gan'
    network.widths, network.blocks = (64, 64), (1, 1)  # 4 of 768, 4 of 2
  config.loss.adversarial.name = 'relativistic'
  config.loss.r1_gamma = config.loss.r2_gamma = 0.1  # 0.05 to 0.005
  config.loss.g_batch = 'fresh'
  for player in config.optimizer.values():
    player.learning_rate = 2e-4  # 2e-4 to 5e-5
    player.b1, player.b2 = 0.0, 0.99  # 0, 0.9 to 0.99
  # Theirs has a half-life that grows to 5M images.
  config.optimizer.generator.ema = {'name': 'half_life', 'half_life': 20_000.0}
  config.train.num_steps = 4000
  config.checkpoint.save_every_steps = 1000
  config.log.report_every_steps = 500
  config.log.grid = (5, 10)  # one class per column
  return sized(config, arg)
