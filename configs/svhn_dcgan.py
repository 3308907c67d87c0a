"""DCGAN on SVHN.

Paper: Radford et al. 2016, "Unsupervised Representation Learning with Deep
  Convolutional Generative Adversarial Networks",
  https://arxiv.org/abs/1511.06434, section 3 and figure 1.
Networks: those of a well-known teaching notebook: a layer fewer than the
  paper's, for 32x32 images; leaky ReLU in G too, where the paper has ReLU. G
  answers with the samples that D has just seen, as dcgan.torch does.
  Comments give the paper's values.
Command:
  gan-jax train --config=configs/svhn_dcgan.py --workdir=DIR
Data: svhn_cropped through TensorFlow Datasets (73,257 train, of which 5,000
  are put aside for validation), or svhn_mat: SVHN's original files.
Result: not run yet in full. What is tested is the smoke variant, on made-up
  images; fashion_dcgan.py is the same system on data that were at hand.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 2e-4,  # 2e-4
    'b1': 0.5,  # 0.5
    'b2': 0.999,
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
        'name': 'svhn_cropped',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 128,  # 128
        'num_labels': config_dict.placeholder(int),
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': config_dict.placeholder(int),
      },
      'model': {
        'z_dim': 100,  # 100
        'z_prior': 'uniform',  # uniform
        'sync_batch_norm': True,
        'generator': {
          'name': 'deconv',
          'size_mult': 128,  # 512 channels at 4x4, to 128; paper: 1024 to 128
          'base_size': 4,
          'init_stddev': 0.02,  # 0.02
        },
        'discriminator': {
          'name': 'conv',
          'width': 64,  # to 256; paper: 64 to 512
          'base_size': 4,
          'normalization': 'batch',  # not on the first layer
          'init_stddev': 0.02,  # 0.02
        },
      },
      'loss': {
        'adversarial': {'name': 'non_saturating', 'label_smoothing': 0.0},
        'n_critic': 1,  # 1
        'r1_gamma': 0.0,
        'r2_gamma': 0.0,
        'lambda_gp': 0.0,
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
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
