"""A GAN of your own photographs, 64x64, from a few hundred images on.

Papers: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern
  Baseline GAN", https://arxiv.org/abs/2501.05441, for the loss and both
  penalties; Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient
  GAN Training", https://arxiv.org/abs/2006.10738, for the augmentation; Radford
  et al. 2016, https://arxiv.org/abs/1511.06434, for the networks.
Deviations: it follows none of them as a whole; the networks are small enough
  for a CPU, and a batch has 16 images. gamma was not tuned: between 0.1 and 10
  larger values are safer, smaller ones sharper.
Command:
  gan-jax train --config=configs/photos_gan.py --config.data.data_dir=PHOTOS \
    --workdir=DIR
Data: a folder of images of any size, whose central squares are resized; 20 are
  put aside for validation. Set data.flip to False where left and right matter.
Result: not run in full.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'image_folder', 20
  config.data.image_size = 64
  config.data.batch_size, config.data.flip = 16, True
  config.model.z_dim, config.model.z_prior = 128, 'normal'
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 32,  # 256 channels at 4x4, to 32
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 32,  # to 256
    'normalization': 'none',
  }
  config.loss.adversarial.name = 'relativistic'
  config.loss.r1_gamma = config.loss.r2_gamma = 1.0
  config.augment.policy = 'color,translation,cutout'
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.0, 0.99
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_steps = 20_000
  config.log.report_every_steps = 250
  config.checkpoint.save_every_steps = 500
  config.checkpoint.keep = 1
  return sized(config, arg)
