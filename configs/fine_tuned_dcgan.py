"""DCGAN fine-tuned on 200 images of one Fashion-MNIST class, from the others.

Papers: Radford et al. 2016, https://arxiv.org/abs/1511.06434, for networks and
  optimisers; Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for
  Fine-Tuning GANs", https://arxiv.org/abs/2002.10964, for freezing the first
  layers of D.
Deviations: a quarter (G) and half (D) of fashion_dcgan's width, for a CPU; a
  moving average of G.
Commands: the run on the other nine classes, then this one from it:
  gan-jax train --config=configs/fine_tuned_dcgan.py --workdir=SOURCE \
    --config.data.classes=0,1,2,3,4,5,6,7,8 --config.data.num_train=None \
    --config.train.num_steps=10000
  gan-jax train --config=configs/fine_tuned_dcgan.py --workdir=DIR \
    --init_from=SOURCE
FreezeD: --config.optimizer.discriminator.freeze=conv1/. From scratch: without
  --init_from.
Data: fashion_mnist through TensorFlow Datasets: 200 images of ankle boots, and
  the ankle boots among its validation and test images.
Result: experiments/results/few_images/.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('gan')
  config.data.name, config.data.num_validation = 'fashion_mnist', 1000
  config.data.classes, config.data.num_train = (9,), 200  # ankle boots
  config.data.image_size = 32
  config.data.batch_size = 50
  config.model.z_dim, config.model.z_prior = 100, 'uniform'
  config.model.generator = {
    'name': 'deconv',
    'size_mult': 32,  # 128 channels at 4x4, to 32
    'init_stddev': 0.02,
  }
  config.model.discriminator = {
    'name': 'conv',
    'width': 32,  # to 128
    'normalization': 'batch',
    'init_stddev': 0.02,
  }
  config.loss.adversarial.name = 'non_saturating'
  for player in config.optimizer.values():
    player.learning_rate, player.b1 = 2e-4, 0.5
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.999}
  config.train.num_steps = 2000
  config.checkpoint.save_every_steps = 500
  config.log.report_every_steps = 500
  return sized(config, arg)
