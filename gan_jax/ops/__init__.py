"""Array operations below the level of a network layer: convolutions."""

from gan_jax.ops.convolution import conv, conv_transpose
from gan_jax.ops.grouped import grouped_conv

__all__ = ('conv', 'conv_transpose', 'grouped_conv')
