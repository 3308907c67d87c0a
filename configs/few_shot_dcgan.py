"""DCGAN on 100 images of one class of Fashion-MNIST, with DiffAugment.

Papers: Radford et al. 2016, https://arxiv.org/abs/1511.06434, for networks and
  optimisers; Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient
  GAN Training", https://arxiv.org/abs/2006.10738, section 3.2, with its full
  policy.
Deviations: a quarter (G) and half (D) of fashion_dcgan's width, for a CPU; a
  moving average of G.
Command:
  gan-jax train --config=configs/few_shot_dcgan.py --workdir=DIR
Without augmentation: --config.augment.policy=None.
Data: fashion_mnist through TensorFlow Datasets: 100 images of bags, and the
  bags among its validation and test images.
Result: experiments/results/few_images/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 1000
  config.data.classes, config.data.num_train = (8,), 100  # bags
  config.data.image_size = 32
  config.data.batch_size = 50
  config.model.z_dim, config.model.z_prior = 100, 'uniform'
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 32,  # 128 channels at 4x4, to 32
    'init_stddev': 0.02,
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 32,  # to 128
    'normalization': 'batch',
    'init_stddev': 0.02,
  }
  config.loss.adversarial.name = 'non_saturating'
  config.augment.policy = 'color,translation,cutout'
  for player in config.optimizer.values():
    player.learning_rate, player.b1 = 2e-4, 0.5
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_steps = 4000
  config.checkpoint.save_every_steps = 1000
  config.log.report_every_steps = 500
  return sized(config, arg)
