"""Marks for cases of a parametrised test that belong to another tier."""

import pytest


def in_systems(*cases):
  """Marks further cases of a fast test for `make test-systems`."""
  return [
    pytest.param(
      *(case if isinstance(case, tuple) else (case,)),
      marks=pytest.mark.systems,
    )
    for case in cases
  ]
