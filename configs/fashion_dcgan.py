"""DCGAN on Fashion-MNIST.

Paper: Radford et al. 2016, "Unsupervised Representation Learning with Deep
  Convolutional Generative Adversarial Networks",
  https://arxiv.org/abs/1511.06434, section 3 and figure 1.
Networks: those of a well-known teaching notebook: one layer fewer than the
  paper's, for 32x32 images; leaky ReLU also in G, where the paper has ReLU. G
  is updated on D's last samples, as in dcgan.torch.
  Comments give the paper's values. With the argument 'cpu' both networks have
  half the width.
Command:
  gan-jax train --config=configs/fashion_dcgan.py --workdir=DIR
  gan-jax train --config=configs/fashion_dcgan.py:cpu --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are held out for validation), zero-padded to 32x32.
Result: experiments/results/fashion_dcgan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 128  # 128
  config.model.z_dim, config.model.z_prior = 100, 'uniform'  # the same
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 128,  # 512 channels at 4x4, to 128; paper: 1024 to 128
    'init_stddev': 0.02,  # 0.02
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 64,  # to 256; paper: 64 to 512
    'normalization': 'batch',  # not on the first layer
    'init_stddev': 0.02,  # 0.02
  }
  config.loss.adversarial.name = 'non_saturating'
  for player in config.optimizer.values():
    player.learning_rate, player.b1 = 2e-4, 0.5  # the same
  config.train.num_epochs = 25
  cpu = {
    'model.generator.size_mult': 64,
    'model.discriminator.width': 32,
  }
  return sized(config, arg, cpu=cpu)
