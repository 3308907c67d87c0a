"""Changes of configs, as the command line makes them."""

from gan_jax.systems import override


def changed(config, changes):
  """Returns the config with values by key, {'loss.adversarial.name': 'hinge'}.

  A name that changes brings its variant's keys along.
  """
  return override(config, changes)[0]


def with_sgd(config, learning_rate=None, **settings):
  """Returns the config with plain SGD, whose steps are easy to predict."""
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
