"""WGAN-GP on Fashion-MNIST.

Paper: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs",
  https://arxiv.org/abs/1704.00028, algorithm 1: lambda 10, n_critic 5, Adam
  1e-4 with b1 0 and b2 0.9, batch 64. Comments give the paper's values.
Deviations: DCGANs with a quarter (G) and half (D) of fashion_dcgan's width, for
  a CPU; no normalisation in the critic (the paper suggests layer
  normalisation); G is updated on the critic's last samples, not on new ones.
  With the argument 'cpu' both networks have half the config's width.
Command:
  gan-jax train --config=configs/fashion_wgan_gp.py --workdir=DIR
  gan-jax train --config=configs/fashion_wgan_gp.py:cpu --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are held out for validation), zero-padded to 32x32.
  An epoch is a pass of D over them, with one update of G per five of D.
Result: not run in full.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 64  # 64
  config.model.z_dim, config.model.z_prior = 128, 'normal'  # the same
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 32,  # 128 channels at 4x4, then 64, 32
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 32,  # then 64, 128
    'normalization': 'none',
  }
  config.loss.adversarial.name = 'wasserstein'
  config.loss.n_critic = 5  # 5
  config.loss.lambda_gp = 10.0  # 10
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 1e-4, 0.0, 0.9  # the same
  config.train.num_epochs = 125  # D sees each image once per epoch
  cpu = {
    'model.generator.size_mult': 16,
    'model.discriminator.width': 16,
  }
  return sized(config, arg, cpu=cpu)
