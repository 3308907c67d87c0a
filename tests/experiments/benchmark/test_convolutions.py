import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.benchmark import convolutions
from experiments.benchmark.convolutions import Shape
from tests.tiers import in_systems


@pytest.mark.systems
@pytest.mark.parametrize(
  'shape',
  [Shape(1, 6, 17, 2, 3, 1, 'VALID'), *in_systems((Shape(2, 7, 3, 4, 5, 2),))],
  ids=str,
)
def test_the_forms_that_are_timed_do_the_same(shape):
  for _, forms, chosen, arguments in convolutions._operations(shape):
    first, *others = (np.asarray(form(*arguments)) for form in forms.values())
    for other in others:
      assert_allclose(other, first, rtol=0, atol=3e-6 * np.abs(first).max())
    assert chosen in forms.values()


def test_a_row_for_each_operation_with_one_form_in_bold(monkeypatch):
  monkeypatch.setattr(convolutions, 'SHAPES', [Shape(2, 8, 3, 4, 3, 2)])
  _, _, *rows = convolutions.table(1, pytorch=False)
  assert [row.split(' | ')[1] for row in rows] == ['forward', 'input', 'kernel']
  for row in rows:
    assert row.startswith('| 2x8²x3 -> 4, 3/2 |')
    assert row.count('**') == 2
