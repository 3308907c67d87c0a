"""Direction of improvement of values, by their names."""

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
  """Tells whether less is better by a value's name, e.g. 'validation_fid'."""
  return not name.endswith(_HIGHER_IS_BETTER)
