"""Every function of `gan_jax.losses`, with its oracle and its error bound."""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from gan_jax import losses
from tests.losses import oracle

# A schedule, not a loss.
NO_LOSS = ('top_k_schedule',)

DTYPES = ('float32', 'bfloat16', 'float64')

# The dtypes in which the functions compute.
WIDE = {'float32': 'float32', 'bfloat16': 'float32', 'float64': 'float64'}

Shape = tuple[int, ...]
Inputs = Sequence[np.ndarray]


def kinks_nowhere(*inputs):
  return [None] * len(inputs)


@dataclasses.dataclass(frozen=True)
class Case:
  """One way to call one function.

  Attributes:
    name: the function's name in `gan_jax.losses`.
    call: the function, taking only arrays, all of which are differentiated.
    expected: its oracle, which returns the elements of the result in order.
    shapes: any number of tuples of input shapes.
    kinks: returns, for each input, the distances of its elements from where the
      derivative jumps, or None if it jumps nowhere. On a kink, any slope
      between the two sides is right, and rounding may move a mean across it.
    variant: distinguishes a case whose errors have another size.
    constants: indices of the inputs to which the function gives no gradient.
  """

  name: str
  call: Callable
  expected: Callable[..., list]
  shapes: tuple[tuple[Shape, ...], ...]
  kinks: Callable = kinks_nowhere
  variant: str = ''
  constants: tuple[int, ...] = ()

  @property
  def row(self) -> str:
    return self.name + self.variant


@dataclasses.dataclass(frozen=True)
class Bound:
  """|error| <= k * eps * max(|result|, floor, smallest normal number).

  The result is the value or the gradient, element by element. bfloat16 is
  computed in float32: its bound is that of float32 plus half an eps of bfloat16
  times |result|, for the rounding at the end.

  Attributes:
    value: k of the values.
    gradient: k of the gradients.
    floor: floor of the values, in general the largest input, which is itself
      only known to eps times its size.
    gradient_floor: floor of the gradients.
  """

  value: int
  gradient: int
  floor: str = 'L'
  gradient_floor: str = '1'


FLOORS = {
  # Results computed from probabilities or signs are accurate to eps, however
  # large the logits.
  '1': lambda inputs: 1.0,
  # The slope of a softplus depends on its argument until it saturates.
  'min(L, 40)': lambda inputs: min(largest(inputs), 40.0),
  # A sum of large logits was rounded before the slope was taken.
  'L': lambda inputs: largest(inputs),
  # The result is a square of such a sum.
  'max(L, L²)': lambda inputs: max(largest(inputs), largest(inputs) ** 2),
  # The result is a probability of such squares, times their argument.
  'max(L, L³)': lambda inputs: max(largest(inputs), largest(inputs) ** 3),
  # The shorter the vector, the faster its direction turns.
  '1 / l': lambda inputs: (
    1 / min(np.linalg.norm(row.astype(np.float64)) for x in inputs for row in x)
  ),
}


def largest(inputs: Inputs) -> float:
  return max(np.abs(np.asarray(x, np.float64)).max() for x in inputs)


ELEMENTWISE = tuple((shape, shape) for shape in [(4,), (2, 1, 2)])
# Shapes are [..., K] or [..., K + 1].
CLASSES = (((2, 3),), ((1, 2, 4),))
ROWS = (((3, 3),), ((2, 4),))
TWO_ROWS = tuple(2 * shapes for shapes in ROWS)
FEATURES = (
  ((1, 2), (3, 2)),
  ((2, 2, 1), (2, 2, 1)),
)


def labels_and_mask(x, extra_class):
  """Labels every second row; the first row is of the last class."""
  num_classes = x.shape[-1] - extra_class
  labels = (num_classes - 1 - np.arange(len(x))) % num_classes
  return labels, 1 - np.arange(len(x)) % 2


def both_parameterisations(name, call, expected, shapes):
  return [
    Case(
      name,
      lambda *x, extra=extra: call(*x, extra_class=extra),
      lambda *x, extra=extra: expected(*x, extra),
      shapes,
      variant=', extra class' if extra else '',
    )
    for extra in (False, True)
  ]


def elementwise(function, expected, kinks=kinks_nowhere, **options):
  return Case(
    function.__name__,
    lambda *x: function(*x, **options),
    oracle.each(expected),
    ELEMENTWISE,
    kinks,
  )


def average(function, discriminator):
  def expected(x, z):
    return oracle.relativistic_average(x.ravel(), z.ravel(), discriminator)

  return Case(function.__name__, function, expected, ELEMENTWISE)


def supervised(x, *, extra_class):
  return losses.supervised_loss(
    x, *labels_and_mask(x, extra_class), extra_class=extra_class
  )


def expected_supervised(x, extra_class):
  labels, mask = labels_and_mask(x, extra_class)
  return [oracle.supervised(x, labels, mask, extra_class)]


def semi_supervised(x, z, *, extra_class):
  labels, mask = labels_and_mask(x, extra_class)
  return losses.semi_supervised_discriminator_loss(
    x, z, labels, mask, label_smoothing=0.1, extra_class=extra_class
  )


def expected_semi_supervised(x, z, extra_class):
  return [
    *expected_supervised(x, extra_class),
    oracle.real_fake(x, z, 0.1, extra_class),
  ]


def feature_matching(power):
  return Case(
    'feature_matching_loss',
    lambda x, z: losses.feature_matching_loss(x, z, squared=power == 2),
    lambda x, z: [oracle.feature_matching(x, z, power)],
    FEATURES,
    difference_of_means if power == 1 else kinks_nowhere,
    variant=', squared' if power == 2 else '',
  )


def difference_of_means(x, z):
  return np.broadcast_to(x.mean(axis=0) - z.mean(axis=0), x.shape), None


def feature_matching_of_layers(power):
  one = feature_matching(power)
  return dataclasses.replace(
    one,
    call=lambda x, x2, z, z2: losses.feature_matching_loss(
      {'first': x, 'last': x2}, {'first': z, 'last': z2}, squared=power == 2
    ),
    expected=lambda x, x2, z, z2: [
      one.expected(x, z)[0] + one.expected(x2, z2)[0]
    ],
    shapes=(((2, 2), (2, 1, 1), (1, 2), (2, 1, 1)),),
    kinks=lambda x, x2, z, z2: (
      (*one.kinks(x, z)[:1], *one.kinks(x2, z2)[:1], None, None)
    ),
  )


def two_differences(a, a2b2a, b, b2a2b):
  return None, a2b2a - a, None, b2a2b - b


def expected_two_differences(a, a2b2a, b, b2a2b):
  return [oracle.mean_difference(a, a2b2a) + oracle.mean_difference(b, b2a2b)]


def two_domains(name):
  return Case(
    name,
    lambda *images: getattr(losses, name)(*images),
    expected_two_differences,
    (((2, 1), (2, 1), (1, 2), (1, 2)), ((3,), (3,), (1,), (1,))),
    two_differences,
  )


def no_direction(x):
  """Finds rows without a direction: zero, or too small to differentiate."""
  length = np.linalg.norm(x.reshape(len(x), -1), axis=1)
  far = np.where(length < 1e-6, 0.0, np.inf)
  return (np.broadcast_to(far.reshape(-1, *[1] * (x.ndim - 1)), x.shape),)


THRESHOLD = -0.25
SCORES = (0.5, 2.0, -1.0, 2.0)  # the best two tie, and k = 1 takes one


def top_k_mean(x, k):
  return losses.top_k_mean(x, jnp.asarray(SCORES[: len(x)], x.dtype), k)


CASES = (
  elementwise(losses.minimax_discriminator_loss, oracle.cross_entropy),
  elementwise(
    losses.minimax_discriminator_loss,
    lambda row: oracle.cross_entropy(row, 0.1),
    label_smoothing=0.1,
  ),
  elementwise(losses.minimax_generator_loss, oracle.minimax_generator),
  elementwise(losses.non_saturating_discriminator_loss, oracle.cross_entropy),
  elementwise(
    losses.non_saturating_discriminator_loss,
    lambda row: oracle.cross_entropy(row, 0.1),
    label_smoothing=0.1,
  ),
  elementwise(
    losses.non_saturating_generator_loss, oracle.non_saturating_generator
  ),
  elementwise(
    losses.least_squares_discriminator_loss,
    oracle.least_squares_discriminator,
  ),
  elementwise(
    losses.least_squares_generator_loss, oracle.least_squares_generator
  ),
  elementwise(
    losses.hinge_discriminator_loss,
    oracle.hinge_discriminator,
    lambda real, fake: (real - 1, fake + 1),
  ),
  elementwise(losses.hinge_generator_loss, oracle.minus_score),
  elementwise(losses.wasserstein_discriminator_loss, oracle.critic),
  elementwise(losses.wasserstein_generator_loss, oracle.minus_score),
  elementwise(
    losses.relativistic_discriminator_loss, oracle.relativistic_discriminator
  ),
  elementwise(
    losses.relativistic_generator_loss, oracle.relativistic_generator
  ),
  average(losses.relativistic_average_discriminator_loss, True),
  average(losses.relativistic_average_generator_loss, False),
  *both_parameterisations(
    'gan_logits', losses.gan_logits, oracle.gan_logits, CLASSES
  ),
  *both_parameterisations(
    'real_probability',
    losses.real_probability,
    oracle.real_probability,
    CLASSES,
  ),
  *both_parameterisations(
    'class_probabilities',
    losses.class_probabilities,
    oracle.class_probabilities,
    CLASSES,
  ),
  *both_parameterisations(
    'conditional_entropy',
    lambda x, **options: losses.conditional_entropy(x, **options),
    oracle.conditional_entropy,
    CLASSES,
  ),
  *both_parameterisations(
    'supervised_loss', supervised, expected_supervised, ROWS
  ),
  *both_parameterisations(
    'semi_supervised_discriminator_loss',
    semi_supervised,
    expected_semi_supervised,
    TWO_ROWS,
  ),
  *both_parameterisations(
    'unlabelled_loss',
    lambda x, z, **options: losses.unlabelled_loss(x, z, **options),
    lambda x, z, extra: [oracle.real_fake(x, z, 0.0, extra) / 2],
    TWO_ROWS,
  ),
  feature_matching(1),
  feature_matching(2),
  feature_matching_of_layers(1),
  feature_matching_of_layers(2),
  Case(
    'historical_averaging_loss',
    lambda *x: losses.historical_averaging_loss(x[:2], x[2:]),
    lambda *x: [oracle.historical_averaging(x[:2], x[2:])],
    (((2,), (), (2,), ()), ((1, 2), (1,), (1, 2), (1,))),
    constants=(2, 3),
  ),
  elementwise(
    losses.l1_loss,
    lambda row: abs(row[0] - row[1]),
    lambda output, target: (output - target, None),
  ),
  two_domains('cycle_consistency_loss'),
  two_domains('identity_loss'),
  Case(
    'pull_away_loss',
    lambda x: losses.pull_away_loss(x),
    lambda x: [oracle.pull_away(x)],
    (((3, 2),), ((2, 2, 2),)),
    no_direction,
  ),
  Case(
    'patch_nce_loss',
    lambda q, k: losses.patch_nce_loss(q, k, temperature=0.5),
    lambda q, k: oracle.patch_nce(q, k, 0.5),
    (((1, 2, 2), (1, 2, 2)), ((2, 3, 1), (2, 3, 1))),
    constants=(1,),
  ),
  Case(
    'low_density_loss',
    lambda x: losses.low_density_loss(x, THRESHOLD),
    lambda x: oracle.low_density(x, THRESHOLD),
    (((4,),), ((2, 2),)),
    lambda x: (x - THRESHOLD,),
  ),
  *(
    Case(
      'top_k_mean',
      lambda x, k=k: top_k_mean(x, k),
      lambda x, k=k: [oracle.top_k_mean(x, SCORES, k)],
      (((4,),), ((3, 2),)),
    )
    for k in (1, 2, 3)
  ),
)

# The bounds leave room above what accuracy.py measures.
BOUNDS = {
  'minimax_discriminator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'minimax_generator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'non_saturating_discriminator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'non_saturating_generator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'least_squares_discriminator_loss': Bound(2, 2),
  'least_squares_generator_loss': Bound(2, 2),
  'hinge_discriminator_loss': Bound(2, 1),
  'hinge_generator_loss': Bound(1, 1),
  'wasserstein_discriminator_loss': Bound(1, 1),
  'wasserstein_generator_loss': Bound(1, 1),
  'relativistic_discriminator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'relativistic_generator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'relativistic_average_discriminator_loss': Bound(4, 4, 'L', 'L'),
  'relativistic_average_generator_loss': Bound(4, 4, 'L', 'L'),
  'gan_logits': Bound(2, 2),
  'gan_logits, extra class': Bound(2, 2),
  'real_probability': Bound(2, 2, '1', '1'),
  'real_probability, extra class': Bound(2, 2, 'L', 'L'),
  'class_probabilities': Bound(2, 4, '1', '1'),
  'class_probabilities, extra class': Bound(2, 4, '1', '1'),
  'conditional_entropy': Bound(2, 2, '1', '1'),
  'conditional_entropy, extra class': Bound(2, 2, '1', '1'),
  'supervised_loss': Bound(2, 2),
  'supervised_loss, extra class': Bound(2, 2),
  'semi_supervised_discriminator_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'semi_supervised_discriminator_loss, extra class': Bound(2, 2, 'L', 'L'),
  'unlabelled_loss': Bound(2, 2, 'L', 'min(L, 40)'),
  'unlabelled_loss, extra class': Bound(2, 2, 'L', 'L'),
  'feature_matching_loss': Bound(2, 1),
  'feature_matching_loss, squared': Bound(2, 2, 'max(L, L²)', 'L'),
  'historical_averaging_loss': Bound(2, 2),
  'l1_loss': Bound(1, 1),
  'cycle_consistency_loss': Bound(2, 1),
  'identity_loss': Bound(2, 1),
  'patch_nce_loss': Bound(4, 4, 'max(L, L²)', 'max(L, L³)'),
  'pull_away_loss': Bound(4, 8, '1', '1 / l'),
  'low_density_loss': Bound(1, 1),
  'top_k_mean': Bound(1, 1),
}
