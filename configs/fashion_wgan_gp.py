"""WGAN-GP on Fashion-MNIST.

Paper: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs",
  https://arxiv.org/abs/1704.00028, algorithm 1: lambda 10, n_critic 5, Adam
  1e-4 with b1 0 and b2 0.9, batch 64. Comments give the paper's values.
Deviations: networks of DCGAN's kind, a quarter (G) and half (D) of
  fashion_dcgan's width, for a CPU; no
  normalisation in the critic (the paper suggests layer normalisation); G
  answers with the samples that the critic has seen last, not with new ones.
Command:
  gan-jax train --config=configs/fashion_wgan_gp.py --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are put aside for validation), zero-padded to 32x32. An epoch is counted in
  updates of G; D sees five times as many images.
Result: not run in full.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 1e-4,  # 1e-4
    'b1': 0.0,  # 0
    'b2': 0.9,  # 0.9
    'eps': 1e-8,
    'eps_root': 0.0,
    'schedule': {'name': 'constant'},
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'gan',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'fashion_mnist',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 64,  # 64
        'num_labels': config_dict.placeholder(int),
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': 32,
      },
      'model': {
        'z_dim': 128,  # 128
        'z_prior': 'normal',  # normal
        'sync_batch_norm': True,
        'generator': {
          'name': 'deconv',
          'size_mult': 32,  # 128 channels at 4x4, then 64, 32
          'base_size': 4,
          'init_stddev': config_dict.placeholder(float),
        },
        'discriminator': {
          'name': 'conv',
          'width': 32,  # then 64, 128
          'base_size': 4,
          'normalization': 'none',
          'init_stddev': config_dict.placeholder(float),
        },
      },
      'loss': {
        'adversarial': {'name': 'wasserstein', 'label_smoothing': 0.0},
        'n_critic': 5,  # 5
        'r1_gamma': 0.0,
        'r2_gamma': 0.0,
        'lambda_gp': 10.0,  # 10
      },
      'optimizer': {
        'generator': dict(adam),
        'discriminator': dict(adam),
      },
      'train': {
        'num_steps': config_dict.placeholder(int),
        'num_epochs': 25,
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
    config.data.num_validation = 20
    config.model.generator.size_mult = 2
    config.model.discriminator.width = 4
    config.loss.n_critic = 2
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
