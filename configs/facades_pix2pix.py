"""pix2pix on CMP Facades: photographs from labels.

Paper: Isola et al. 2017, "Image-to-Image Translation with Conditional
  Adversarial Networks", https://arxiv.org/abs/1611.07004, section 6.2 and the
  row "Facades" of appendix 6.2: batch 1, 200 epochs, jitter and flips.
  Comments give the paper's values.
Deviations: BatchNorm's scale starts at 1, where the authors' code draws it from
  N(1, 0.02^2); the validation images are taken from the paper's 400 training
  images. With --config.loss.adversarial.name=least_squares (LSGAN, as in the
  authors' code), set lambda_adversarial to 2 and lambda_discriminator to 1: our
  least squares have a factor of 1/2 that theirs have not.
Command:
  gan-jax train --config=configs/facades_pix2pix.py \
    --config.data.data_dir=FACADES --workdir=DIR
Data: CMP Facades in pairs, 400 to train and 106 to test, from
  http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz
  (photographs, a, on the left and labels, b, on the right), unpacked.
Result: experiments/results/facades_pix2pix/, at 128x128.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 2e-4,  # 2e-4
    'b1': 0.5,  # 0.5
    'b2': 0.999,  # 0.999
    'eps': 1e-8,
    'eps_root': 0.0,
    'schedule': {'name': 'constant'},
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'pix2pix',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'pairs',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 1,  # 1
        'num_validation': 10,
        'direction': 'b2a',
        'load_size': 286,  # 286
        'crop_size': 256,  # 256
        'flip': True,
        'memory_gb': 2.0,
      },
      'model': {
        'sync_batch_norm': True,
        'generator': {
          'width': 64,  # 64
          'num_levels': config_dict.placeholder(int),  # 8 at 256x256
          'remat': False,
        },
        'discriminator': {
          'width': 64,  # 64
          'patch_size': 70,  # 70
          'normalization': 'batch',
        },
        'test_statistics': 'instance',
        'test_dropout': True,
      },
      'loss': {
        'adversarial': {'name': 'non_saturating', 'label_smoothing': 0.0},
        'lambda_adversarial': 1.0,  # 1
        'lambda_discriminator': 0.5,  # 0.5, which slows D down
        'lambda_l1': 100.0,  # 100
      },
      'optimizer': {
        'generator': dict(adam),
        'discriminator': dict(adam),
      },
      'train': {
        'num_steps': config_dict.placeholder(int),
        'num_epochs': 200,  # 200
        'steps_per_dispatch': 1,
        'num_microbatches': 1,
      },
      'checkpoint': {
        'save_every_steps': 1950,  # five epochs
        'keep': 1,
        'best_metric': config_dict.placeholder(str),
      },
      'eval': {
        'batch_size': 10,
        'metrics': config_dict.placeholder(str),
        'extractor': config_dict.placeholder(str),
        'num_samples': 1000,
        'eval_every_steps': config_dict.placeholder(int),
      },
      'log': {
        'report_every_steps': config_dict.placeholder(int),  # each epoch
        'grid': (5, 2),
        'tensorboard': True,
      },
    }
  )
  if arg == 'smoke':  # sizes and counts only
    config.data.batch_size = 2
    config.data.num_validation = 2
    config.data.load_size = 18
    config.data.crop_size = 16
    config.model.generator.width = 4
    config.model.discriminator.width = 4
    config.model.discriminator.patch_size = 16
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.checkpoint.keep = 3
    config.log.report_every_steps = 2
    config.log.grid = (1, 2)
  return config
