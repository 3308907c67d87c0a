"""Hinge loss and spectral normalisation on Fashion-MNIST.

Papers: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial
  Networks", https://arxiv.org/abs/1802.05957, section 4 (hinge loss, Adam 2e-4
  with b1 0.5 and one update of D per update of G: its setting C, with n_dis 1),
  on the ResNet of its table 4. Comments give the paper's values.
Deviations: an eighth (G) and a quarter (D) of the width, for a CPU; a moving
  average of G; G is updated on D's last samples. With the argument 'cpu' both
  networks have half the config's width, with 'paper' the paper's.
Result: not run in full.
Command:
  gan-jax train --config=configs/fashion_hinge.py --workdir=DIR
  gan-jax train --config=configs/fashion_hinge.py:cpu --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are held out for validation), zero-padded to 32x32.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 64  # 64
  config.model.z_dim, config.model.z_prior = 128, 'normal'  # the same
  config.model.generator = {'name': 'resnet', 'width': 32}  # 256
  config.model.discriminator = {
    'name': 'resnet',
    'width': 32,  # 128
    'normalization': 'spectral',
  }
  config.loss.adversarial.name = 'hinge'
  config.loss.n_critic = 1  # 1
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.5, 0.999  # the same
  # The paper has no average.
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_epochs = 25
  paper = {'model.generator.width': 256, 'model.discriminator.width': 128}
  cpu = {'model.generator.width': 16, 'model.discriminator.width': 16}
  return sized(config, arg, paper, cpu)
