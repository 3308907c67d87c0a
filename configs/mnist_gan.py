"""MLP GAN on MNIST.

Paper: Goodfellow et al. 2014, "Generative Adversarial Nets",
  https://arxiv.org/abs/1406.2661; one-sided label smoothing from Salimans et
  al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.
Networks and settings: those of a well-known teaching notebook, which the
  comments give. The paper's own MNIST networks are larger (maxout D with
  dropout), and it draws new z for G, where the notebook reuses D's.
Command:
  gan-jax train --config=configs/mnist_gan.py --workdir=DIR
Data: mnist through TensorFlow Datasets (60,000 train, of which 5,000 are held
  out for validation).
Result: experiments/results/mnist_gan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'mnist', 5000
  config.data.batch_size = 100  # 100
  config.model.z_dim, config.model.z_prior = 100, 'uniform'  # U(-1, 1)
  config.model.generator = {'name': 'mlp', 'hidden': 128}  # 100-128-784
  config.model.discriminator = {'name': 'mlp', 'hidden': 128}  # 784-128-1
  config.loss.adversarial.name = 'non_saturating'
  config.loss.adversarial.label_smoothing = 0.1  # real labels are 0.9
  for player in config.optimizer.values():
    player.learning_rate = 0.002  # 0.002
    player.b1 = 0.9  # the notebook's framework's default
  config.train.num_epochs = 100  # 100
  config.log.grid = (4, 4)  # 16 samples of one z
  return sized(config, arg)
