"""Conditional GAN with projection on MNIST, on a narrow ResNet.

Paper: Miyato and Koyama 2018, "cGANs with Projection Discriminator",
  https://arxiv.org/abs/1802.05637: conditional BatchNorm in G, projection and
  spectral normalisation in D, the hinge loss, Adam 2e-4 with b1 0 and b2 0.9,
  learning rates decaying linearly to 0. The networks are those of Miyato et al.
  2018, https://arxiv.org/abs/1802.05957, table 4, for 32x32 pixels. Comments
  give the papers' values.
Deviations: an eighth (G) and a quarter (D) of the width, two updates of D per
  update of G and a short training, for a CPU; a moving average of G; G is
  updated on D's last samples.
Command:
  gan-jax train --config=configs/mnist_cgan.py --workdir=DIR
  gan-jax sample --workdir=DIR --labels=0-9 --output=digits.png
Data: mnist through TensorFlow Datasets (60,000 train, of which 5,000 are held
  out for validation, 10,000 test), zero-padded to 32x32.
Result: experiments/results/mnist_cgan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 64  # 64
  config.model.z_dim, config.model.z_prior = 128, 'normal'  # the same
  config.model.conditioning = 'batch_norm_projection'
  config.model.generator = {'name': 'resnet', 'width': 32}  # 256
  config.model.discriminator = {
    'name': 'resnet',
    'width': 32,  # 128
    'normalization': 'spectral',
  }
  config.loss.adversarial.name = 'hinge'
  config.loss.n_critic = 2  # 5
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.0, 0.9  # the same
    player.schedule = {
      'name': 'linear', 'unit': 'steps', 'hold': 5_000, 'length': 5_000,
      'final': 0.0,
    }  # fmt: skip
  # The paper has no average.
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_steps = 10_000  # 450,000 on ImageNet
  config.checkpoint.save_every_steps = 1000
  config.log.report_every_steps = 500
  config.log.grid = (5, 10)  # one class per column
  paper = {
    'model.generator.width': 256,
    'model.discriminator.width': 128,
    'loss.n_critic': 5,
  }
  return sized(config, arg, paper)
