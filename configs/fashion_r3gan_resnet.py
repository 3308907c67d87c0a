"""R3GAN on Fashion-MNIST: the paper's loss, schedules and network, but narrow.

Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline
  GAN", https://arxiv.org/abs/2501.05441. Comments give the values of the
  authors' code for CIFAR-10.
Deviations: 1/24 of the width and half the blocks, batches of 64 and schedules
  over 0.8 million images instead of 20, for a CPU; the larger gamma of
  fashion_rpgan_dcgan, which decays by the paper's factor; no augmentation. With
  the argument 'paper' the sizes are the authors', including gamma.
Command:
  gan-jax train --config=configs/fashion_r3gan_resnet.py --workdir=DIR
  gan-jax train --config=configs/fashion_r3gan_resnet.py:paper --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are held out for validation), zero-padded to 32x32.
Result: experiments/results/fashion_r3gan_resnet/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 5000
  config.data.image_size = 32
  config.data.batch_size = 64  # 512
  config.model.z_dim, config.model.z_prior = 64, 'normal'  # the same
  for network in config.model.generator, config.model.discriminator:
    network.name = 'r3gan'
    network.widths = (32, 32, 32, 32)  # 768
    network.blocks = (1, 1, 1, 1)  # 2
    network.group_width = 16  # the same
  config.loss.adversarial.name = 'relativistic'
  config.loss.g_batch = 'fresh'
  images = 800_000 if arg != 'paper' else 20_000_000

  def cosine(final):
    return {
      'name': 'cosine', 'unit': 'images', 'hold': 0, 'length': images,
      'final': final,
    }  # fmt: skip

  gamma = 1.0 if arg != 'paper' else 0.05
  config.loss.r1_gamma = config.loss.r2_gamma = gamma
  config.loss.r1_schedule = config.loss.r2_schedule = cosine(gamma / 10)
  for player in config.optimizer.values():
    player.learning_rate, player.schedule = 2e-4, cosine(5e-5)
    player.b1, player.b2, player.b2_schedule = 0.0, 0.9, cosine(0.99)
  config.optimizer.generator.ema = {
    'name': 'half_life', 'half_life': 0.0, 'schedule': cosine(images / 4),
  }  # fmt: skip
  config.train.num_steps = 12_500  # 800,000 images
  config.checkpoint.save_every_steps = 1000
  config.log.report_every_steps = 500
  paper = {
    'data.batch_size': 512,
    'model.generator.widths': (768,) * 4,
    'model.generator.blocks': (2,) * 4,
    'model.discriminator.widths': (768,) * 4,
    'model.discriminator.blocks': (2,) * 4,
    'train.num_steps': 200_000,  # the authors' code trains until it is stopped
  }
  return sized(config, arg, paper)
