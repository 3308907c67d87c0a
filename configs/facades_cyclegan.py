"""CycleGAN between photographs of facades and their labels, small.

Paper: Zhu et al. 2017, "Unpaired Image-to-Image Translation using
  Cycle-Consistent Adversarial Networks", https://arxiv.org/abs/1703.10593,
  section 4 and appendix 7. Comments give the paper's values.
Deviations: 64x64 images, six residual blocks and networks of half the width,
  for a CPU, where the paper has 128x128 or 256x256; patches of 34 pixels; the
  identity term, which is the default of the authors' code; validation images
  are taken from the training images.
Command:
  gan-jax train --config=configs/facades_cyclegan.py --workdir=DIR
Data: cycle_gan/facades through TensorFlow Datasets: 400 photographs, a, and 400
  labels, b, in no common order, to train, 106 and 106 to test.
Result: experiments/results/facades_cyclegan/.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 2e-4,  # 2e-4
    'b1': 0.5,  # 0.5, of the authors' code, as b2
    'b2': 0.999,
    'eps': 1e-8,
    'eps_root': 0.0,
    'schedule': {
      'name': 'linear',
      'constant_epochs': 100,  # 100
      'decay_epochs': 100,  # 100
    },
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'cyclegan',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'cycle_gan/facades',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 1,  # 1
        'num_validation': 10,
        'load_size': 72,  # 286
        'crop_size': 64,  # 256
        'flip': True,
        'memory_gb': 2.0,
      },
      'model': {
        'generator': {
          'width': 32,  # 64
          'num_blocks': 6,  # 9 at 256x256
          'remat': False,
        },
        'discriminator': {
          'width': 32,  # 64
          'patch_size': 34,  # 70
          'normalization': 'instance',
        },
        'pool_size': 50,  # 50
      },
      'loss': {
        'adversarial': {'name': 'least_squares', 'label_smoothing': 0.0},
        # Our least squares have a factor of 1/2 that the paper's have not.
        'lambda_adversarial': 2.0,  # 1
        'lambda_discriminator': 1.0,  # 0.5
        'lambda_cycle': 10.0,  # 10
        'lambda_identity': 5.0,  # 0; 0.5 lambda_cycle in the authors' code
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
        'save_every_steps': config_dict.placeholder(int),  # each epoch
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
    config.data.num_validation = 2
    config.data.load_size = 18
    config.data.crop_size = 16
    config.model.generator.width = 4
    config.model.generator.num_blocks = 1
    config.model.discriminator.width = 4
    config.model.discriminator.patch_size = 16
    config.model.pool_size = 3
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.checkpoint.keep = 3
    config.log.report_every_steps = 2
    config.log.grid = (1, 1)
  return config
