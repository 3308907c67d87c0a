"""Semi-supervised GAN on scikit-learn's 8x8 handwritten digits, 100 labels.

Paper: Salimans et al. 2016, "Improved Techniques for Training GANs",
  https://arxiv.org/abs/1606.03498, sections 3.1, 3.4 and 5. It does not use
  this data set; networks, batch, loss and play are those of svhn_ssgan.py, but
  smaller and with the fake logit fixed at 0 (`extra_class` False).
Command: gan-jax train --config=configs/digits_ssgan.py \
  --workdir=DIR; with its baseline: make demo; over ten label seeds: make
  results
Hardware, wall time, result: see the README's table.
Deviations, all chosen on validation: learning rate 1e-3 instead of 3e-4, and
  constant, since a decay by 0.9 per epoch of 10 steps would stop learning;
  dropout 0.3 instead of 0.5; EMA 0.99 of the classifier; 2,250 steps. Mean
  error on the 250 validation images over label seeds 100-102 at that step: rate
  1e-3 and dropout 0.3: 2.13 %; 1e-3 and 0.5: 3.73 %; 2e-3 and 0.5: 2.80 %. For
  speed: classifier width 32 instead of 64, and a report every five epochs of 10
  steps.
"""

from gan_jax.systems import base, sized


def get_config(arg=''):
  config = base('ssgan')
  config.data.name, config.data.batch_size = 'digits', 100
  config.data.num_labels, config.data.num_validation = 100, 250
  config.model.z_dim, config.model.extra_class = 100, False
  config.model.generator.size_mult = 32
  config.model.generator.base_size = 2
  config.model.discriminator.width = 32
  config.model.discriminator.strides = (1, 2, 1)
  config.model.discriminator.dropout_rate = 0.3
  for player in config.optimizer.values():
    player.learning_rate, player.b1 = 1e-3, 0.5
  config.optimizer.discriminator.ema = {'name': 'debiased', 'decay': 0.99}
  config.train.num_steps = 2250
  config.checkpoint.save_every_steps = 250
  config.eval.batch_size = 540
  config.log.report_every_steps = 50  # five epochs
  return sized(config, arg)
