"""Type aliases."""

from collections.abc import Mapping
from typing import Any

import jax

Array = jax.Array
AxisName = str | tuple[str, ...]  # mapped axes over which a batch is split
PRNGKey = jax.Array  # a typed key, from `jax.random.key`
Params = Any  # a pytree of arrays
Metrics = dict[str, Array]  # scalars
Rows = Mapping[str, Array]  # image [B, H, W, C], label [B], label_mask [B]
Batch = Mapping[str, Rows]  # one entry per stream of examples
