"""Supervised baseline of digits_ssgan.py: the same classifier on 100 labels.

It has the same network, labels, number of steps and moving average, but full
batches of labelled images and only the cross-entropy. Learning rate, decay,
dropout and stopping step were chosen on validation (label seeds 100-102), from
seven settings (rates 3e-4, 1e-3, 2e-3 and 3e-3, dropout 0.3 and 0.5, constant
or halved every 1,000 steps) and twelve stopping steps up to 3,000: this one was
the best, with 4.13 %. The semi-supervised GAN stops at the same step.
Command: gan-jax train --config=configs/digits_supervised.py \
  --workdir=DIR; with the semi-supervised GAN: make demo
Hardware, wall time, result: see the README's table.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('supervised')
  config.data.name, config.data.batch_size = 'digits', 100
  config.data.num_labels, config.data.num_validation = 100, 250
  config.model.discriminator.width = 32
  config.model.discriminator.strides = (1, 2, 1)
  config.model.discriminator.dropout_rate = 0.5
  config.optimizer.discriminator.learning_rate = 1e-3
  config.optimizer.discriminator.ema = {'name': 'debiased', 'decay': 0.99}
  config.train.num_steps = 2250
  config.checkpoint.save_every_steps = 250
  config.eval.batch_size = 540
  config.log.report_every_steps = 50  # five epochs
  return sized(config, arg)
