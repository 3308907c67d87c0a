"""FastCUT from labels of facades to photographs, reduced in size.

Paper: Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image
  Translation", https://arxiv.org/abs/2007.15651, section 4 and appendix B:
  FastCUT. Comments give the paper's values.
Deviations: 64x64 images, six residual blocks and networks of half the width,
  for a CPU; patches of 34 pixels; the learning rate decays with each step,
  where the authors' code subtracts 1/51 after each epoch; each image is
  mirrored at random independently, where theirs mirrors the whole batch or
  nothing; validation images are taken from the training images. With the
  argument 'cpu' both networks have a quarter of the paper's width and G four
  residual blocks, and 64 patches of 64 features are compared.
Command:
  gan-jax train --config=configs/facades_cut.py --workdir=DIR
  gan-jax train --config=configs/facades_cut.py:cpu --workdir=DIR
Data: cycle_gan/facades through TensorFlow Datasets: 400 photographs, a, and 400
  labels, b, in no common order, to train, 106 and 106 to test.
Result: experiments/results/facades_cut/, 48 epochs.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('cut')
  config.data.name, config.data.direction = 'cycle_gan/facades', 'b2a'
  config.data.batch_size, config.data.num_validation = 1, 10  # 1
  config.data.load_size, config.data.crop_size = 72, 64  # 286, 256
  config.model.generator.width = 32  # 64
  config.model.generator.num_blocks = 6  # 9
  config.model.generator.downsampling = 'blur'  # the same
  config.model.generator.upsampling = 'blur'  # the same
  config.model.initializer = 'xavier'  # the same
  config.model.discriminator.width = 32  # 64
  config.model.discriminator.patch_size = 34  # 70
  config.model.discriminator.downsampling = 'blur'  # the same
  config.model.heads.layers = (0, 4, 8, 12, 16)  # the same
  config.model.heads.features = 256  # 256
  config.loss.adversarial.name = 'least_squares'
  # Our least-squares loss has a factor of 1/2 that the authors' lacks.
  config.loss.lambda_adversarial = 2.0  # 1
  config.loss.lambda_discriminator = 1.0  # 0.5
  config.loss.lambda_nce = 10.0  # 10 in FastCUT, 1 in CUT
  config.loss.nce_identity = False  # only in CUT
  config.loss.flip_equivariance = True  # only in FastCUT
  config.loss.nce_temperature, config.loss.num_patches = 0.07, 256  # the same
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.5, 0.999  # the same
    player.schedule = {
      'name': 'linear',
      'hold': 150,  # 150
      'length': 50,  # 50
    }
  config.train.num_epochs = 200  # 200
  config.checkpoint.keep = 1
  config.eval.batch_size, config.log.grid = 10, (5, 2)
  cpu = {
    'model.generator.width': 16,
    'model.generator.num_blocks': 4,
    'model.discriminator.width': 16,
    'model.heads.layers': (0, 4, 8, 10, 12),
    'model.heads.features': 64,
    'loss.num_patches': 64,
  }
  return sized(config, arg, cpu=cpu)
