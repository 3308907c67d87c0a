"""Relativistic pairing GAN with R1 and R2 on Fashion-MNIST.

Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline
  GAN", https://arxiv.org/abs/2501.05441, section 3: the loss, both penalties,
  Adam with b1 0. Comments give the values of the authors' code for CIFAR-10.
Deviations: small DCGANs instead of the paper's residual networks, for a CPU;
  BatchNorm in G, where the paper has no normalisation; constant learning rate,
  gamma and b2, where the paper anneals them; no augmentation, where the
  authors' code augments D's inputs; a larger gamma, not tuned; G is updated on
  D's last samples and data.
Command:
  gan-jax train --config=configs/fashion_rpgan_dcgan.py --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are held out for validation), zero-padded to 32x32.
Result: experiments/results/fashion_rpgan_dcgan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 64  # 512
  config.model.z_dim, config.model.z_prior = 64, 'normal'  # the same
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 32,  # 128 channels at 4x4, then 64, 32
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 32,  # then 64, 128
    'normalization': 'none',
  }
  config.loss.adversarial.name = 'relativistic'
  config.loss.n_critic = 1  # 1
  config.loss.r1_gamma = config.loss.r2_gamma = 1.0  # 0.05 to 0.005
  for player in config.optimizer.values():
    player.learning_rate = 2e-4  # 2e-4 to 5e-5
    player.b1, player.b2 = 0.0, 0.99  # 0, 0.9 to 0.99
  # Theirs has a half-life that grows to 5M images.
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_epochs = 25
  return sized(config, arg)
