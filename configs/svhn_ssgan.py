"""Semi-supervised GAN on SVHN with 1,000 labels.

Paper: Salimans et al. 2016, "Improved Techniques for Training GANs",
  https://arxiv.org/abs/1606.03498, section 5: 8.11 % +- 1.3 % test error, with
  larger networks than these.
Networks and settings: those of a well-known teaching notebook, without its
  defects (see gan_jax/models/classifier.py), and with the same number of
  labelled examples from each class. Comments give the notebook's values.
Command:
  gan-jax train --config=configs/svhn_ssgan.py --workdir=DIR
Data: svhn_cropped through TensorFlow Datasets (73,257 train, of which 5,000
  for validation; 26,032 test; the extra split is not used).
Hardware, wall time, result: not run in full yet. Only the smoke variant is
  tested, on random images.
On 28x28 data: --config.data.name=mnist --config.data.image_size=32
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('ssgan')
  config.data.name, config.data.num_validation = 'svhn_cropped', 5000
  config.data.batch_size = 128  # 128
  config.data.num_labels = 1000  # 1,000
  config.model.z_dim, config.model.extra_class = 100, True  # the same
  config.model.generator.size_mult = 32  # 32
  config.model.generator.base_size = 4  # 4
  config.model.discriminator.width = 64  # 64
  config.model.discriminator.strides = (2, 2, 2)  # the same
  config.model.discriminator.dropout_rate = 0.5  # 0.5
  config.loss.label_smoothing = 0.1  # 0.1
  config.loss.feature_matching = 'absolute'  # the same
  for player in config.optimizer.values():
    player.learning_rate, player.b1 = 3e-4, 0.5  # the same
    player.schedule = {'name': 'exponential', 'decay_rate': 0.9}  # the same
  config.train.num_epochs = 25  # 25
  return sized(config, arg)
