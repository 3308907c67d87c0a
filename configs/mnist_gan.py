"""MLP GAN on MNIST.

Paper: Goodfellow et al. 2014, "Generative Adversarial Nets",
  https://arxiv.org/abs/1406.2661; one-sided label smoothing from Salimans et
  al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.
Networks and settings: those of a well-known teaching notebook, which the
  comments give. The paper's own MNIST networks are larger (maxout D with
  dropout), and it draws new z for G, where the notebook reuses D's.
Command:
  gan-jax train --config=configs/mnist_gan.py --workdir=DIR
Data: mnist through TensorFlow Datasets (60,000 train, of which 5,000 are put
  aside for validation).
Result: experiments/results/mnist_gan/.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 0.002,  # 0.002
    'b1': 0.9,  # its framework's default, as b2 and eps
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
        'name': 'mnist',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 100,  # 100
        'num_labels': config_dict.placeholder(int),
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': config_dict.placeholder(int),
      },
      'model': {
        'z_dim': 100,  # 100
        'z_prior': 'uniform',  # U(-1, 1)
        'sync_batch_norm': True,
        'generator': {'name': 'mlp', 'hidden': 128},  # 100-128-784
        'discriminator': {'name': 'mlp', 'hidden': 128},  # 784-128-1
      },
      'loss': {
        # Real labels of 0.9
        'adversarial': {'name': 'non_saturating', 'label_smoothing': 0.1},
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
        'num_epochs': 100,  # 100
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
        'grid': (4, 4),  # 16 samples of one z
        'tensorboard': True,
      },
    }
  )
  if arg == 'smoke':  # sizes and counts only
    config.data.batch_size = 10
    config.data.num_validation = 20
    config.model.generator.hidden = 8
    config.model.discriminator.hidden = 8
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
