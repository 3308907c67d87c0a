"""The baseline of digits_ssgan.py: the same classifier on 100 labels alone.

The same network, labels, number of steps and average; full batches of labelled
images, cross-entropy only. Rate, decay, dropout and stopping step were chosen
on validation (label seeds 100-102), from seven settings (rates 3e-4, 1e-3, 2e-3
and 3e-3, dropout 0.3 and 0.5, constant or halved every 1,000 steps) and twelve
stopping steps up to 3,000: this one, with 4.13 %, was the best of all, and the
semi-supervised GAN stops at the same step.
Command: gan-jax train --config=configs/digits_supervised.py \
  --workdir=DIR; beside the semi-supervised GAN: make demo
Hardware, wall time, result: see the README's table.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  config = ConfigDict(
    {
      'system': 'supervised',
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
        'discriminator': {
          'width': 32,
          'strides': (1, 2, 1),
          'dropout_rate': 0.5,
        },
      },
      'optimizer': {
        'discriminator': {
          'name': 'adam',
          'learning_rate': 1e-3,
          'b1': 0.5,
          'b2': 0.999,
          'eps': 1e-8,
          'eps_root': 0.0,
          'schedule': {'name': 'constant'},
          'ema_decay': 0.99,
        },
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
    config.model.discriminator.width = 4
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
