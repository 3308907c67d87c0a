"""Configs with other values, as the command line sets them."""

from gan_jax.systems import override


def changed(config, changes):
  """The config with values by key, {'loss.adversarial.name': 'hinge'}.

  A name that changes brings its variant's keys along.
  """
  return override(config, changes)[0]


def with_sgd(config, learning_rate=None, **settings):
  """The config with plain gradient descent: steps are easy to predict."""
  settings['name'] = 'sgd'
  if learning_rate is not None:
    settings['learning_rate'] = learning_rate
  return changed(
    config,
    {
      f'optimizer.{player}.{key}': value
      for player in config.optimizer
      for key, value in settings.items()
    },
  )
