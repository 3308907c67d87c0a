"""Contrastive losses: each output patch must identify its own input patch."""

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array


def patch_nce_loss(
  queries: Array, keys: Array, *, temperature: float = 0.07
) -> Array:
  r"""Computes the PatchNCE loss of output patches against input patches.

  .. math:: -\log \frac{e^{q_i \cdot k_i / \tau}}
            {\sum_j e^{q_i \cdot k_j / \tau}}

  The positive is the input patch at the same place; the negatives are the other
  patches of the same image. The keys are constants and get no gradient.

  Args:
    queries: q, features of output patches, [B, P, D], floating point, each of
      length 1.
    keys: k, features of the input patches at the same places, [B, P, D].
    temperature: tau > 0.

  Returns:
    The loss per patch, [B, P], of the dtype of both.

  Raises:
    TypeError: arrays that are not floating point.
    ValueError: arrays that are not [B, P, D], empty, or of different shapes; a
      temperature that is not positive.

  References:
    Park et al. 2020, https://arxiv.org/abs/2007.15651, equations 2 and 4.

  >>> import jax.numpy as jnp
  >>> queries = jnp.array([[[1., 0.], [0., 1.]]])
  >>> print(patch_nce_loss(queries, queries, temperature=0.5).round(3))
  [[0.127 0.127]]
  >>> print(patch_nce_loss(queries, queries[:, ::-1], temperature=0.5).round(3))
  [[2.127 2.127]]
  """
  dtype = checks.result_type(queries, keys)
  queries = checks.floating('queries', queries)
  keys = checks.floating('keys', jax.lax.stop_gradient(keys))
  checks.same_shape('queries', queries, 'keys', keys)
  if queries.ndim != 3:
    raise ValueError(f'queries must be [B, P, D], got {queries.shape}')
  checks.not_empty('queries', queries)
  checks.positive('temperature', temperature)
  logits = jnp.matmul(
    queries, jnp.swapaxes(keys, 1, 2), precision=jax.lax.Precision.HIGHEST
  )
  logits = logits / temperature
  positive = jnp.diagonal(logits, axis1=1, axis2=2)
  return (jax.nn.logsumexp(logits, axis=-1) - positive).astype(dtype)
