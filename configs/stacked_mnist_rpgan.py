"""Relativistic pairing GAN with R1 and R2 on stacked MNIST: 1,000 modes.

Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline
  GAN", https://arxiv.org/abs/2501.05441, section 2.2: small residual networks,
  whose sizes are not published. The arms of its ablation are in
  configs/stacked_mnist_sweep.toml.
Deviations: the sizes of networks and batches, the rates and gamma are chosen
  here, for a CPU; G is updated on new samples, as in the authors' code.
Command:
  gan-jax train --config=configs/stacked_mnist_rpgan.py --workdir=DIR
  gan-jax sweep --config=configs/stacked_mnist_rpgan.py \
    --sweep=configs/stacked_mnist_sweep.toml --mode=turn --workdir=DIR
Data: mnist through TensorFlow Datasets (60,000 train, of which 5,000 are held
  out for validation); three digits are stacked as channels, anew in each pass,
  and zero-padded to 32x32.
Result: not run in full.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.image_size = 'stacked_mnist', 32
  config.data.num_validation = 5000
  config.data.batch_size = 32
  config.model.z_dim, config.model.z_prior = 64, 'normal'
  config.model.generator = {
    'name': 'r3gan',
    'widths': (64, 32, 16, 8),
    'blocks': (1, 1, 1, 1),
    'group_width': 16,
  }
  config.model.discriminator = {
    'name': 'r3gan',
    'widths': (8, 16, 32, 64),
    'blocks': (1, 1, 1, 1),
    'group_width': 16,
  }
  config.loss.adversarial.name = 'relativistic'
  config.loss.g_batch = 'fresh'
  config.loss.r1_gamma = config.loss.r2_gamma = 1.0
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.0, 0.99
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_steps = 20_000
  config.checkpoint.save_every_steps, config.checkpoint.keep = 1000, 1
  config.log.report_every_steps = 1000
  return sized(config, arg)
