"""Cases of a parametrised test that belong to another tier."""

import pytest


def in_systems(*cases):
  """Marks cases for `make test-systems`: more of what the fast ones show."""
  return [
    pytest.param(
      *(case if isinstance(case, tuple) else (case,)),
      marks=pytest.mark.systems,
    )
    for case in cases
  ]
