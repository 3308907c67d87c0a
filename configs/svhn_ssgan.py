"""Semi-supervised GAN on SVHN with 1,000 labels.

Paper: Salimans et al. 2016, "Improved Techniques for Training GANs",
  https://arxiv.org/abs/1606.03498, section 5: 8.11 % +- 1.3 % test error, with
  larger networks than these.
Networks and settings: those of a well-known teaching notebook, without its
  defects (see gan_jax/models/classifier.py), and with the labelled examples
  drawn class by class. Comments give the notebook's values.
Command:
  gan-jax train --config=configs/svhn_ssgan.py --workdir=DIR
Data: svhn_cropped through TensorFlow Datasets (73,257 train, of which 5,000
  for validation; 26,032 test; the extra split is not used).
Hardware, wall time, result: not run yet in full. What is tested is the smoke
  variant, on made-up images.
On 28x28 data: --config.data.name=mnist --config.data.image_size=32
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 3e-4,  # 3e-4
    'b1': 0.5,  # 0.5
    'b2': 0.999,
    'eps': 1e-8,
    'eps_root': 0.0,
    'schedule': {
      'name': 'exponential',
      'decay_rate': 0.9,  # 0.9
      'decay_every_steps': config_dict.placeholder(int),  # each epoch
    },
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'ssgan',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'svhn_cropped',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 128,  # 128
        'num_labels': 1000,  # 1,000
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': config_dict.placeholder(int),
      },
      'model': {
        'z_dim': 100,  # 100
        'extra_class': True,
        'generator': {'size_mult': 32, 'base_size': 4},  # 32, 4
        'discriminator': {
          'width': 64,  # 64
          'strides': (2, 2, 2),
          'dropout_rate': 0.5,  # 0.5
        },
      },
      'loss': {
        'label_smoothing': 0.1,  # 0.1
        'feature_matching': 'absolute',  # the same
        'play': 'simultaneous',
      },
      'optimizer': {'generator': dict(adam), 'discriminator': dict(adam)},
      'train': {
        'num_steps': config_dict.placeholder(int),
        'num_epochs': 25,  # 25
        'steps_per_dispatch': 1,
        'num_microbatches': 1,
      },
      'checkpoint': {
        'save_every_steps': config_dict.placeholder(int),  # each epoch
        'keep': 3,
        'best_metric': config_dict.placeholder(str),
      },
      'eval': {
        'batch_size': 500,
        'metrics': config_dict.placeholder(str),
        'extractor': config_dict.placeholder(str),
        'num_samples': 1000,
        'eval_every_steps': config_dict.placeholder(int),
      },
      'log': {
        'report_every_steps': config_dict.placeholder(int),  # each epoch
        'grid': (5, 10),
        'tensorboard': True,
      },
    }
  )
  if arg == 'smoke':  # sizes and counts only
    config.data.batch_size = 10
    config.data.num_labels = 20
    config.data.num_validation = 20
    config.model.generator.size_mult = 2
    config.model.discriminator.width = 4
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
