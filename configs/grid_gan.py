"""GAN on 25 Gaussians in a grid, after PacGAN.

Paper: Lin et al. 2017, "PacGAN: The power of two samples in generative
  adversarial networks", https://arxiv.org/abs/1712.04086, section 4.1, and the
  authors' code: 400 epochs of 1,000 steps. Comments give their values.
Deviations: half the steps, for a CPU, unless the argument is 'paper'; all runs
  see the same 100,000 points, the same number from each mode; the samples of a
  pack share one pass through G, and its BatchNorm.
Command:
  gan-jax train --config=configs/grid_gan.py --workdir=DIR
  gan-jax train --config=configs/grid_gan.py --config.model.packing=2 \
    --workdir=DIR
Data: points that are drawn at random.
Result: not run in full.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name = 'grid'
  config.data.num_validation = 10_000
  config.data.batch_size = 100  # packs
  config.model.z_dim, config.model.z_prior = 2, 'normal'  # the same
  config.model.packing = 1  # 1 to 4
  config.model.generator = {
    'name': 'batch_norm_mlp',
    'hidden': (400, 400, 400, 400),  # the same
    'init_stddev': 0.02,  # the same
  }
  config.model.discriminator = {
    'name': 'maxout',
    'hidden': (200, 200, 200),  # the same
    'pieces': 5,  # the same
    'init_stddev': 0.02,  # the same
  }
  config.loss.adversarial.name = 'non_saturating'  # the same
  config.loss.play = 'simultaneous'  # the same
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 1e-4, 0.8, 0.999  # the same
  config.train.num_steps = 200_000  # 400,000
  config.checkpoint.save_every_steps, config.checkpoint.keep = 20_000, 1
  config.eval.metrics, config.eval.extractor = 'mixture', 'grid'
  config.eval.num_samples = 2500  # the same
  config.log.report_every_steps, config.log.grid = 10_000, (50, 50)
  return sized(config, arg, paper={'train.num_steps': 400_000})
