"""Relativistic pairing with R1 and R2 on Fashion-MNIST.

Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline
  GAN", https://arxiv.org/abs/2501.05441, section 3: the loss, both penalties,
  Adam with b1 0. Comments give the values of the authors' code for CIFAR-10.
Deviations: small networks of DCGAN's kind instead of the paper's residual ones,
  for a CPU; BatchNorm in G, where the paper has no normalisation; rate, gamma
  and b2 constant, where the paper anneals them; a larger gamma, not tuned;
  G answers with the samples and data that D has just seen.
Command:
  gan-jax train --config=configs/fashion_r3gan.py --workdir=DIR
Data: fashion_mnist through TensorFlow Datasets (60,000 train, of which 5,000
  are put aside for validation), zero-padded to 32x32.
Result: experiments/results/fashion_r3gan/.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 2e-4,  # 2e-4 to 5e-5
    'b1': 0.0,  # 0
    'b2': 0.99,  # 0.9 to 0.99
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
        'batch_size': 64,  # 512
        'num_labels': config_dict.placeholder(int),
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': 32,
      },
      'model': {
        'z_dim': 64,  # 64
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
        'adversarial': {'name': 'relativistic', 'label_smoothing': 0.0},
        'n_critic': 1,  # 1
        'r1_gamma': 1.0,  # 0.05 to 0.005
        'r2_gamma': 1.0,  # 0.05 to 0.005
        'lambda_gp': 0.0,
      },
      'optimizer': {
        'generator': dict(adam, ema_decay=0.999),  # half-life to 5M images
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
