"""CycleGAN between photographs of facades and their labels, reduced in size.

Paper: Zhu et al. 2017, "Unpaired Image-to-Image Translation using
  Cycle-Consistent Adversarial Networks", https://arxiv.org/abs/1703.10593,
  section 4 and appendix 7. Comments give the paper's values.
Deviations: 64x64 images, six residual blocks and networks of half the width,
  for a CPU, where the paper has 128x128 or 256x256; patches of 34 pixels; the
  identity term, which is the default of the authors' code; the learning rate
  decays with each step, where the authors' PyTorch code subtracts 1/101 after
  each epoch; validation images are taken from the training images. With the
  argument 'cpu' both networks have a quarter of the paper's width, G three
  residual blocks, and there is no identity term, as in the paper.
Command:
  gan-jax train --config=configs/facades_cyclegan.py --workdir=DIR
  gan-jax train --config=configs/facades_cyclegan.py:cpu --workdir=DIR
Data: cycle_gan/facades through TensorFlow Datasets: 400 photographs, a, and 400
  labels, b, in no common order, to train, 106 and 106 to test.
Result: experiments/results/facades_cyclegan/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('cyclegan')
  config.data.name = 'cycle_gan/facades'
  config.data.batch_size, config.data.num_validation = 1, 10  # 1
  config.data.load_size, config.data.crop_size = 72, 64  # 286, 256
  config.model.generator.width = 32  # 64
  config.model.generator.num_blocks = 6  # 9 at 256x256
  config.model.discriminator.width = 32  # 64
  config.model.discriminator.patch_size = 34  # 70
  config.model.pool_size = 50  # 50
  config.loss.adversarial.name = 'least_squares'
  # Our least-squares loss has a factor of 1/2 that the paper's lacks.
  config.loss.lambda_adversarial = 2.0  # 1
  config.loss.lambda_discriminator = 1.0  # 0.5
  config.loss.lambda_cycle = 10.0  # 10
  config.loss.lambda_identity = 5.0  # 0; 0.5 lambda_cycle in the authors' code
  for player in config.optimizer.values():
    player.learning_rate = 2e-4  # 2e-4
    player.b1 = 0.5  # 0.5, in the authors' code
    player.schedule = {
      'name': 'linear',
      'hold': 100,  # 100
      'length': 100,  # 100
    }
  config.train.num_epochs = 200  # 200
  config.checkpoint.keep = 1
  config.eval.batch_size, config.log.grid = 10, (5, 2)
  cpu = {
    'model.generator.width': 16,
    'model.generator.num_blocks': 3,
    'model.discriminator.width': 16,
    'loss.lambda_identity': 0.0,
  }
  return sized(config, arg, cpu=cpu)
