"""CUT from horses to zebras.

Paper: Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image
  Translation", https://arxiv.org/abs/2007.15651, section 4 and appendix B: CUT.
  Comments give the paper's values.
Deviations: the learning rate decays with each step, where the authors' code
  subtracts 1/201 after each epoch; the validation images are taken from the
  training images.
Command:
  gan-jax train --config=configs/horse2zebra_cut.py --workdir=DIR
Data: cycle_gan/horse2zebra through TensorFlow Datasets (1,067 horses and 1,334
  zebras to train, 120 and 140 to test).
Result: not run in full.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('cut')
  config.data.name, config.data.direction = 'cycle_gan/horse2zebra', 'a2b'
  config.data.batch_size, config.data.num_validation = 1, 10  # 1
  config.data.load_size, config.data.crop_size = 286, 256  # the same
  config.model.generator.width = 64  # 64
  config.model.generator.num_blocks = 9  # 9
  config.model.generator.downsampling = 'blur'  # the same
  config.model.generator.upsampling = 'blur'  # the same
  config.model.initializer = 'xavier'  # the same
  config.model.discriminator.width = 64  # 64
  config.model.discriminator.patch_size = 70  # 70
  config.model.discriminator.downsampling = 'blur'  # the same
  config.model.heads.layers = (0, 4, 8, 12, 16)  # the same
  config.model.heads.features = 256  # 256
  config.loss.adversarial.name = 'least_squares'
  # Our least-squares loss has a factor of 1/2 that the authors' lacks.
  config.loss.lambda_adversarial = 2.0  # 1
  config.loss.lambda_discriminator = 1.0  # 0.5
  config.loss.lambda_nce = 1.0  # 1
  config.loss.nce_identity = True  # the same
  config.loss.flip_equivariance = False  # only in FastCUT
  config.loss.nce_temperature, config.loss.num_patches = 0.07, 256  # the same
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.5, 0.999  # the same
    player.schedule = {
      'name': 'linear',
      'hold': 200,  # 200
      'length': 200,  # 200
    }
  config.train.num_epochs = 400  # 400
  config.checkpoint.keep = 1
  config.eval.batch_size, config.log.grid = 1, (5, 1)
  return sized(config, arg)
