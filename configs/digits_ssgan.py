"""Semi-supervised GAN on scikit-learn's 8x8 handwritten digits, 100 labels.

Paper: Salimans et al. 2016, "Improved Techniques for Training GANs",
  https://arxiv.org/abs/1606.03498, sections 3.1, 3.4 and 5. It has no such data
  set; networks, batch, loss and play are those of svhn_ssgan.py, smaller, and
  with the fake logit fixed at 0 (`extra_class` False).
Command: gan-jax train --config=configs/digits_ssgan.py \
  --workdir=DIR; beside its baseline: make demo; over ten label seeds: make
  results
Hardware, wall time, result: see the README's table.
Deviations, all chosen on validation: rate 1e-3 instead of 3e-4, and constant,
  since 0.9 per epoch of 10 steps would stop learning; dropout 0.3 instead of
  0.5; EMA 0.99 of the classifier; 2,250 steps. Mean error of the 250 validation
  images over label seeds 100-102 at that step: rate 1e-3 and dropout 0.3
  2.13 %; 1e-3 and 0.5 3.73 %; 2e-3 and 0.5 2.80 %. For speed: classifier width
  32 instead of 64, and a report every five epochs, which are 10 steps each.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 1e-3,
    'b1': 0.5,
    'b2': 0.999,
    'eps': 1e-8,
    'eps_root': 0.0,
    'schedule': {'name': 'constant'},
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'ssgan',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'digits',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 100,
        'num_labels': 100,
        'label_seed': 0,
        'num_validation': 250,
        'image_size': config_dict.placeholder(int),
      },
      'model': {
        'z_dim': 100,
        'extra_class': False,
        'generator': {'size_mult': 32, 'base_size': 2},
        'discriminator': {
          'width': 32,
          'strides': (1, 2, 1),
          'dropout_rate': 0.3,
        },
      },
      'loss': {
        'label_smoothing': 0.1,
        'feature_matching': 'absolute',
        'play': 'simultaneous',
      },
      'optimizer': {
        'generator': dict(adam),
        'discriminator': dict(adam, ema_decay=0.99),
      },
      'train': {
        'num_steps': 2250,
        'num_epochs': config_dict.placeholder(int),
        'steps_per_dispatch': 1,
        'num_microbatches': 1,
      },
      'checkpoint': {
        'save_every_steps': 250,
        'keep': 3,
        'best_metric': config_dict.placeholder(str),
      },
      'eval': {
        'batch_size': 540,
        'metrics': config_dict.placeholder(str),
        'extractor': config_dict.placeholder(str),
        'num_samples': 1000,
        'eval_every_steps': config_dict.placeholder(int),
      },
      # An epoch is 10 steps: a report every five.
      'log': {'report_every_steps': 50, 'grid': (5, 10), 'tensorboard': True},
    }
  )
  if arg == 'smoke':  # sizes and counts only
    config.data.batch_size = 20
    config.model.generator.size_mult = 4
    config.model.discriminator.width = 4
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
