"""Which values are better, by their names."""

_HIGHER_IS_BETTER = (
  'precision',
  'recall',
  'density',
  'coverage',
  'score',
  'num_modes',
)


def lower_is_better(name: str) -> bool:
  """Of a value by its name, such as 'validation_fid'; errors included."""
  return not name.endswith(_HIGHER_IS_BETTER)
