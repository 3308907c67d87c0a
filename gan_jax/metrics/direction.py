"""Direction of improvement of metrics, by name."""

_HIGHER_IS_BETTER = (
  'precision',
  'recall',
  'density',
  'coverage',
  'score',
  'num_modes',
  'accuracy',
)


def lower_is_better(name: str) -> bool:
  """Returns whether lower is better, by a metric's name ('validation_fid')."""
  return not name.endswith(_HIGHER_IS_BETTER)
