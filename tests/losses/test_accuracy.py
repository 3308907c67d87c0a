import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_jax import losses
from tests.losses import accuracy, cases
from tests.tiers import in_systems

DOCS = pathlib.Path(__file__).parents[2] / 'docs' / 'losses.md'

NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, cases.THRESHOLD]) | st.floats(
  -1, 1, allow_subnormal=False
)
SCALES = st.sampled_from([0.01, 1.0, 30.0, 1e3, 1e4])
LOGITS = st.builds(lambda scale, x: scale * x, SCALES, NUMBERS)

EACH = pytest.mark.parametrize(
  'case',
  [
    pytest.param(case, id=f'{case.row}-{i}')
    for i, case in enumerate(cases.CASES)
  ],
)
DTYPES = pytest.mark.parametrize(
  'dtype', ['float32', *in_systems('bfloat16', 'float64')]
)


@st.composite
def arrays(draw, shapes):
  inputs = []
  for shape in draw(st.sampled_from(shapes)):
    size = int(np.prod(shape))
    logits = draw(st.lists(LOGITS, min_size=size, max_size=size))
    inputs.append(np.reshape(logits, shape))
  return inputs


def test_every_loss_has_a_case_and_every_case_a_bound():
  names = {case.name for case in cases.CASES}
  assert names == set(losses.__all__) - set(cases.NO_LOSS)
  assert {case.row for case in cases.CASES} == set(cases.BOUNDS)


@pytest.mark.systems
@EACH
@DTYPES
def test_errors_are_within_the_stated_bound(case, dtype):
  bound = cases.BOUNDS[case.row]

  @settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    # Other programs on the same core may slow the draws.
    suppress_health_check=[HealthCheck.too_slow],
  )
  @given(arrays(case.shapes))
  def check(inputs):
    of_value, of_gradient = accuracy.errors(case, inputs, dtype)
    assert of_value <= bound.value
    assert of_gradient <= bound.gradient

  check()


@EACH
@DTYPES
def test_extreme_inputs_are_finite(case, dtype):
  denormal = 1e-310 if dtype == 'float64' else 1e-40
  extremes = np.array([1e4, -1e4, 0.0, denormal])
  shapes = max(case.shapes, key=lambda shapes: np.prod(shapes[0]))
  for start in range(4):
    for shift in range(4):
      inputs = [
        np.resize(np.roll(extremes, start + i * shift), shape)
        for i, shape in enumerate(shapes)
      ]
      inputs = [np.asarray(x, jnp.dtype(dtype)) for x in inputs]
      with jax.enable_x64(True):
        value, gradients = accuracy.value_and_gradients(case)(*inputs)
      assert all(jnp.isfinite(x).all() for x in (value, *gradients))


def test_nan_and_infinity_are_errors_beyond_any_bound():
  for wrong in (np.nan, np.inf):
    actual = np.array([wrong, 0.0], np.float32)
    assert accuracy.in_units(actual, [0, 0], 1.0, 'float32') == np.inf


def test_errors_are_counted_in_eps_of_the_larger_of_result_and_floor():
  eps = 2.0**-23
  actual = np.array([4 + 4 * eps], np.float32)
  assert accuracy.in_units(actual, [4], 1.0, 'float32') == 1.0
  assert accuracy.in_units(actual, [4], 16.0, 'float32') == 0.25


def test_the_table_in_the_docs_has_every_bound():
  table = DOCS.read_text().split(accuracy.BEGIN)[1].split(accuracy.END)[0]
  rows = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in table.splitlines()
    if line.startswith('| ') and ' function ' not in line
  ]
  assert {row[0]: (row[4:6], row[9:11]) for row in rows} == {
    row: (
      [str(bound.value), bound.floor],
      [str(bound.gradient), bound.gradient_floor],
    )
    for row, bound in cases.BOUNDS.items()
  }
  for row in rows:
    measured = np.array([row[1:4], row[6:9]], float)
    assert (measured <= [[float(row[4])], [float(row[9])]]).all()
