"""pix2pix on CMP Facades: photographs from labels.

Paper: Isola et al. 2017, "Image-to-Image Translation with Conditional
  Adversarial Networks", https://arxiv.org/abs/1611.07004, section 6.2 and the
  row "Facades" of appendix 6.2: batch 1, 200 epochs, jitter and flips.
  Comments give the paper's values.
Deviations: BatchNorm's scale starts at 1, where the authors' code draws it from
  N(1, 0.02^2); dropout in the innermost three blocks of the decoder, as in the
  paper, where the authors' PyTorch code has it in the second to the fourth; the
  validation images are taken from the paper's 400 training images. With
  --config.loss.adversarial.name=least_squares (LSGAN, as in the authors' code),
  set lambda_adversarial to 2 and lambda_discriminator to 1: our least-squares
  loss has a factor of 1/2 that theirs lacks. With the argument 'cpu' images
  have 64x64 pixels, both networks half the width, D patches of 34 pixels, and G
  upsamples by nearest neighbours and a convolution, which leaves no grid.
Command:
  gan-jax train --config=configs/facades_pix2pix.py \
    --config.data.data_dir=FACADES --workdir=DIR
  gan-jax train --config=configs/facades_pix2pix.py:cpu \
    --config.data.data_dir=FACADES --workdir=DIR
Data: CMP Facades in pairs, 400 to train and 106 to test, from
  http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz
  (photographs, a, on the left and labels, b, on the right), unpacked.
Result: experiments/results/facades_pix2pix/, at 128x128.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('pix2pix')
  config.data.name, config.data.direction = 'pairs', 'b2a'
  config.data.batch_size, config.data.num_validation = 1, 10  # 1
  config.data.load_size, config.data.crop_size = 286, 256  # the same
  config.model.generator.width = 64  # 64
  config.model.generator.num_levels = None  # 8 at 256x256
  config.model.discriminator.width = 64  # 64
  config.model.discriminator.patch_size = 70  # 70
  config.loss.adversarial.name = 'non_saturating'
  config.loss.lambda_adversarial = 1.0  # 1
  config.loss.lambda_discriminator = 0.5  # 0.5, which slows D down
  config.loss.lambda_l1 = 100.0  # 100
  for player in config.optimizer.values():
    player.learning_rate, player.b1, player.b2 = 2e-4, 0.5, 0.999  # the same
  config.train.num_epochs = 200  # 200
  config.checkpoint.save_every_steps = 1950  # five epochs
  config.checkpoint.keep = 1
  config.eval.batch_size, config.log.grid = 10, (5, 2)
  cpu = {
    'data.load_size': 72,
    'data.crop_size': 64,
    'model.generator.width': 32,
    'model.generator.upsampling': 'resize',
    'model.discriminator.width': 32,
    'model.discriminator.patch_size': 34,
  }
  return sized(config, arg, cpu=cpu)
