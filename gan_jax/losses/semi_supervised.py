"""Losses of a discriminator that is also a classifier.

There are two parameterisations of "one of K classes, or fake":

* `extra_class=False`: K logits; the fake class's logit is fixed at 0;
* `extra_class=True`: K + 1 logits, the last one being the fake class's.

Softmax is over-parameterised, so both express the same distributions (Salimans
et al. 2016, https://arxiv.org/abs/1606.03498, section 5). All functions apply
log-sum-exp to logits and never take the logarithm of a probability, so values
and gradients are finite for all finite logits.
"""

import jax
import jax.numpy as jnp

from gan_jax.core import checks, collectives
from gan_jax.core.types import Array, AxisName
from gan_jax.losses.adversarial import non_saturating_discriminator_loss


def _split(
  name: str, logits: Array, extra_class: bool
) -> tuple[Array, Array | float]:
  """Splits logits into real classes [..., K] and the fake one [...] (or 0)."""
  logits = checks.floating(name, logits)
  checks.not_empty(name, logits)
  num_classes = logits.shape[-1] - int(extra_class) if logits.ndim else 0
  if num_classes < 2:
    raise ValueError(
      f'{name} must have at least two real classes'
      f'{" and the fake one" if extra_class else ""} in the last axis, '
      f'got shape {logits.shape}'
    )
  if extra_class:
    return logits[..., :-1], logits[..., -1]
  return logits, 0.0


def _gan_logits(name: str, logits: Array, extra_class: bool) -> Array:
  """Computes `gan_logits` in at least float32, without casting them back."""
  real, fake = _split(name, logits, extra_class)
  return jax.nn.logsumexp(real, axis=-1) - fake


def _real_fake(
  real_class_logits: Array,
  fake_class_logits: Array,
  extra_class: bool,
  axis_name: AxisName | None,
  label_smoothing: float = 0.0,
) -> Array:
  """Computes the mean real/fake cross-entropy in at least float32."""
  real = checks.floating('real_class_logits', real_class_logits)
  fake = checks.floating('fake_class_logits', fake_class_logits)
  checks.same_shape('real_class_logits', real, 'fake_class_logits', fake)
  loss = non_saturating_discriminator_loss(
    _gan_logits('real_class_logits', real, extra_class),
    _gan_logits('fake_class_logits', fake, extra_class),
    label_smoothing=label_smoothing,
  ).mean()
  return collectives.pmean(loss, axis_name)


def gan_logits(class_logits: Array, *, extra_class: bool = False) -> Array:
  r"""Computes the logit of P(real | x) that a classifier implies.

  .. math:: \log\sum_{k \le K} e^{l_k} - l_\text{fake}

  Args:
    class_logits: [..., K], or [..., K + 1] with the fake class last.
    extra_class: whether the fake class has a logit of its own.

  Returns:
    Logits [...] of the same dtype, whose sigmoid is P(real | x).

  Raises:
    TypeError: logits that are not floating point.
    ValueError: fewer than two real classes, or an empty array.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5: there
    D(x) = Z(x) / (Z(x) + 1) with Z(x) = sum_k exp(l_k).

  >>> import jax.numpy as jnp
  >>> print(gan_logits(jnp.array([1e4, 1e4])).round(1))
  10000.7
  >>> print(gan_logits(jnp.array([1., 1., 2.]), extra_class=True).round(3))
  -0.307
  """
  dtype = checks.result_type(class_logits)
  return _gan_logits('class_logits', class_logits, extra_class).astype(dtype)


def real_probability(
  class_logits: Array, *, extra_class: bool = False
) -> Array:
  r"""Computes P(real | x) = sigmoid(`gan_logits`).

  Args:
    class_logits: [..., K], or [..., K + 1] with the fake class last.
    extra_class: whether the fake class has a logit of its own.

  Returns:
    Probabilities [...] of the same dtype.

  Raises:
    TypeError, ValueError: as `gan_logits`.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5.

  >>> import jax.numpy as jnp
  >>> print(f'{real_probability(jnp.zeros(3)):.3f}')
  0.750
  """
  dtype = checks.result_type(class_logits)
  logits = _gan_logits('class_logits', class_logits, extra_class)
  return jax.nn.sigmoid(logits).astype(dtype)


def class_probabilities(
  class_logits: Array, *, extra_class: bool = False
) -> Array:
  r"""Computes P(class k | x, x is real): the softmax over the K real classes.

  Args:
    class_logits: [..., K], or [..., K + 1] with the fake class last.
    extra_class: whether the fake class has a logit of its own.

  Returns:
    Probabilities [..., K] of the same dtype, which sum to 1.

  Raises:
    TypeError, ValueError: as `gan_logits`.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5.

  >>> import jax.numpy as jnp
  >>> print(class_probabilities(jnp.array([0., 0., 9.]), extra_class=True))
  [0.5 0.5]
  """
  dtype = checks.result_type(class_logits)
  real, _ = _split('class_logits', class_logits, extra_class)
  return jax.nn.softmax(real, axis=-1).astype(dtype)


def conditional_entropy(
  class_logits: Array, *, extra_class: bool = False
) -> Array:
  r"""Computes the entropy of P(class | x, x is real).

  .. math:: H = -\sum_{k \le K} p_k \log p_k, \quad
            p = \text{softmax}(l_1, \dots, l_K)

  A discriminator that minimises its mean over data, labelled or not, has to
  decide on one class. The paper's discriminator maximises its objective, in
  which this term is -H.

  Args:
    class_logits: [..., K], or [..., K + 1] with the fake class last. A logit of
      -inf means a class of probability 0, if another logit is finite.
    extra_class: whether the fake class has a logit of its own.

  Returns:
    Entropies [...] of the same dtype, in nats, from 0 to log K.

  Raises:
    TypeError, ValueError: as `gan_logits`.

  References:
    Dai et al. 2017, https://arxiv.org/abs/1705.09783.

  >>> import jax.numpy as jnp
  >>> print(conditional_entropy(jnp.array([[0., 0.], [0., 1e4]])).round(3))
  [0.693 0.   ]
  """
  dtype = checks.result_type(class_logits)
  real, _ = _split('class_logits', class_logits, extra_class)
  log_p = jax.nn.log_softmax(real, axis=-1)
  # p log p tends to 0 as p does, and so does its derivative by the logit.
  finite = jnp.where(jnp.isneginf(log_p), 0, log_p)
  return jnp.sum(-jnp.exp(log_p) * finite, axis=-1).astype(dtype)


def supervised_loss(
  class_logits: Array,
  labels: Array,
  label_mask: Array,
  *,
  extra_class: bool = False,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Computes the cross-entropy over the real classes, on labelled rows only.

  .. math:: \frac{\sum_i m_i\,(\log\sum_k e^{l_{ik}} - l_{iy_i})}
                 {\max(1, \sum_i m_i)}

  Any mask other than 0 counts as 1. An unlabelled row (mask 0) contributes
  exactly 0 to loss and gradient, whatever its logits and its label.

  Args:
    class_logits: [B, K], or [B, K + 1] with the fake class last.
    labels: integers [B]; 0 <= label < K where the mask is 1.
    label_mask: [B], 1 for labelled and 0 for unlabelled rows.
    extra_class: whether the fake class has a logit of its own.
    axis_name: a mapped axis over which the batch is split, if any. Both sums
      are over the whole batch.

  Returns:
    A scalar of the logits' dtype; 0 if no row is labelled, NaN if a labelled
    row's label is out of range.

  Raises:
    TypeError: logits that are not floating point, or labels that are not
      integers.
    ValueError: shapes that do not agree, or fewer than two real classes.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5,
    L_supervised.

  >>> import jax.numpy as jnp
  >>> logits = jnp.array([[2., 0.], [0., 0.]])
  >>> labels, label_mask = jnp.array([0, -1]), jnp.array([1., 0.])
  >>> print(supervised_loss(logits, labels, label_mask).round(3))
  0.127
  """
  dtype = checks.result_type(class_logits)
  real, _ = _split('class_logits', class_logits, extra_class)
  labels = jnp.asarray(labels)
  if not jnp.issubdtype(labels.dtype, jnp.integer):
    raise TypeError(f'labels must be integers, got {labels.dtype}')
  label_mask = jnp.asarray(label_mask)
  if real.ndim != 2 or not labels.shape == label_mask.shape == real.shape[:1]:
    raise ValueError(
      'class_logits must be [B, K], labels [B] and label_mask [B], got '
      f'{class_logits.shape}, {labels.shape} and {label_mask.shape}'
    )
  labelled = label_mask.astype(bool)
  # Unlabelled rows get valid logits and a valid index: infinity times 0 is NaN.
  # On a labelled row, a label out of range must not pass silently: NaN.
  real = jnp.where(labelled[:, None], real, 0)
  index = jnp.where(labelled, labels, 0)[:, None]
  picked = jnp.take_along_axis(real, index, axis=-1)[:, 0]
  picked = jnp.where(index[:, 0] < 0, jnp.nan, picked)  # K and above give NaN
  cross_entropy = jax.nn.logsumexp(real, axis=-1) - picked
  total = jnp.where(labelled, cross_entropy, 0).sum()
  total = collectives.psum(total, axis_name)
  count = collectives.psum(labelled.sum().astype(real.dtype), axis_name)
  return (total / jnp.maximum(count, 1)).astype(dtype)


def unlabelled_loss(
  real_class_logits: Array,
  fake_class_logits: Array,
  *,
  extra_class: bool = False,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Computes half the real/fake cross-entropy, on unlabelled examples.

  .. math:: \tfrac12\,\mathbb E_x\,\zeta(-l(x))
            + \tfrac12\,\mathbb E_z\,\zeta(l(G(z))),
            \quad \zeta(x) = \log(1 + e^x)

  with :math:`l` the `gan_logits`. The authors' code adds it to
  `supervised_loss` on a separate batch of labelled examples. The half is
  theirs: the paper's L_unsupervised, and the second term of
  `semi_supervised_discriminator_loss`, are twice this.

  Args:
    real_class_logits: logits on data, [..., K], or [..., K + 1] with the fake
      class last.
    fake_class_logits: logits on samples, the same shape.
    extra_class: whether the fake class has a logit of its own.
    axis_name: a mapped axis over which the batch is split, if any. The mean is
      over the whole batch.

  Returns:
    A scalar of the logits' dtype.

  Raises:
    TypeError, ValueError: as `gan_logits`, or shapes that do not agree.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5,
    L_unsupervised.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([[2., 0.]]), jnp.array([[-3., -3.]])
  >>> print(unlabelled_loss(real, fake).round(3))
  0.104
  """
  dtype = checks.result_type(real_class_logits, fake_class_logits)
  loss = _real_fake(
    real_class_logits, fake_class_logits, extra_class, axis_name
  )
  return (0.5 * loss).astype(dtype)


def semi_supervised_discriminator_loss(
  real_class_logits: Array,
  fake_class_logits: Array,
  labels: Array,
  label_mask: Array,
  *,
  label_smoothing: float = 0.0,
  extra_class: bool = False,
  axis_name: AxisName | None = None,
) -> tuple[Array, Array]:
  r"""Computes the two terms of a semi-supervised discriminator's loss.

  They are the supervised cross-entropy (`supervised_loss`) and the mean
  real/fake cross-entropy (`non_saturating_discriminator_loss` on `gan_logits`).
  The paper's loss is their sum; `unlabelled_loss` is half the second term.

  Args:
    real_class_logits: logits on data, [B, K], or [B, K + 1] with the fake class
      last.
    fake_class_logits: logits on samples, the same shape.
    labels: integers [B]; 0 <= label < K where the mask is 1.
    label_mask: [B], 1 for labelled and 0 for unlabelled rows.
    label_smoothing: one-sided smoothing of the real targets, in [0, 0.5).
    extra_class: whether the fake class has a logit of its own.
    axis_name: a mapped axis over which the batch is split, if any.

  Returns:
    Two scalars, both over the whole batch: the supervised and the real/fake
    term.

  Raises:
    TypeError, ValueError: as the two losses.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5,
    L = L_supervised + L_unsupervised.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([[2., 0.]]), jnp.array([[-3., -3.]])
  >>> supervised, real_fake = semi_supervised_discriminator_loss(
  ...     real, fake, jnp.array([0]), jnp.array([1.]))
  >>> print(supervised.round(3), real_fake.round(3))
  0.127 0.208
  """
  dtype = checks.result_type(real_class_logits, fake_class_logits)
  # Widening once sums the two terms' gradients before they are rounded.
  real = checks.floating('real_class_logits', real_class_logits)
  supervised = supervised_loss(
    real, labels, label_mask, extra_class=extra_class, axis_name=axis_name
  )
  real_fake = _real_fake(
    real, fake_class_logits, extra_class, axis_name, label_smoothing
  )
  return supervised.astype(dtype), real_fake.astype(dtype)
