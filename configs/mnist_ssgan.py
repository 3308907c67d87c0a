"""Semi-supervised GAN on MNIST with 100 labels, by the paper's own protocol.

Paper: Salimans et al. 2016, "Improved Techniques for Training GANs",
  https://arxiv.org/abs/1606.03498, sections 3.1, 5 and 6.1, table 1: 0.93 % +-
  0.065 % test error with 100 labels (93 +- 6.5 of 10,000 images); and the
  authors' code (train_mnist_feature_matching.py), from which come all values
  that the paper does not give.
Command:
  gan-jax train --config=configs/mnist_ssgan.py --workdir=DIR
Data: mnist through TensorFlow Datasets (60,000 train, of which 5,000 for
  validation; 10,000 test).
Result: 1.07 % test error after 120 epochs, one seed and label subset, 80
  minutes on one core of a CPU: experiments/results/mnist_ssgan/.
Deviations: 55,000 images to train on instead of 60,000, since validation is
  taken from them; every unlabelled stream has its own random order where the
  authors' loop reshuffles each epoch; the random labelled images differ; the
  weights of G's last layer start from N(0, 0.1^2), theirs from Glorot's shorter
  ones, with which seed 0 collapsed (see the result);
  BatchNorm's epsilon is 1e-5, theirs 1e-6, and the l2 norm has none, where
  theirs has 1e-6; averages are debiased, where theirs start at 0.
"""

from ml_collections import ConfigDict, config_dict


def get_config(arg: str = '') -> ConfigDict:
  if arg not in ('', 'smoke'):
    raise ValueError(f"unknown argument {arg!r}; 'smoke' or nothing")
  adam = {
    'name': 'adam',
    'learning_rate': 0.003,  # 0.003, constant
    'b1': 0.5,  # 0.5
    'b2': 0.999,
    'eps': 0.0,
    'eps_root': 1e-8,  # 1e-8, inside the square root
    'schedule': {'name': 'constant'},
    'ema_decay': 0.0,
  }
  config = ConfigDict(
    {
      'system': 'improved_gan',
      'seed': 0,
      'parallel': 'auto',
      'dtype': 'float32',
      'data': {
        'name': 'mnist',
        'data_dir': config_dict.placeholder(str),
        'batch_size': 100,  # 100, of each stream
        'num_labels': 100,  # 100
        'label_seed': 0,
        'num_validation': 5000,
        'image_size': config_dict.placeholder(int),
      },
      'model': {
        'z_dim': 100,  # 100, U(0, 1)
        'init_rows': 500,  # 500
        'generator': {'hidden': (500, 500)},  # 500, 500
        'discriminator': {
          'hidden': (1000, 500, 250, 250, 250),  # the same
          'input_noise': 0.3,  # 0.3
          'hidden_noise': 0.5,  # 0.5
        },
      },
      'loss': {'unlabelled_weight': 1.0},  # 1
      'optimizer': {
        'generator': dict(adam),
        'discriminator': dict(adam, ema_decay=0.9999),  # 0.9999
      },
      'train': {
        'num_steps': config_dict.placeholder(int),
        'num_epochs': 300,  # 300
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
    config.model.init_rows = 20
    config.model.generator.hidden = (20, 20)
    config.model.discriminator.hidden = (20, 10)
    config.train.num_epochs = 0
    config.train.num_steps = 8
    config.checkpoint.save_every_steps = 2
    config.log.report_every_steps = 2
  return config
