"""Layers that the networks share, each the same on one device and many.

Every convolution goes through here, so that its lowering can be changed in one
place. Layers that depend on the whole batch take the name of the mapped axis.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from gan_jax.core.errors import InputError
from gan_jax.core.rng import bernoulli_rows, global_rows, keys_of
from gan_jax.core.types import Array, PRNGKey
from gan_jax.models import resampling
from gan_jax.ops import convolution


def _conv_general_dilated(
  x: Array, kernel: Array, strides, padding, **options
) -> Array:
  """Convolves as lax.conv_general_dilated, which it replaces in flax's Conv."""
  dilations = (*options['lhs_dilation'], *options['rhs_dilation'])
  if max(dilations) > 1 or options['feature_group_count'] > 1:
    raise ValueError('dilated and grouped convolutions are not supported')
  size = kernel.shape[:2]
  pads = padding
  if isinstance(padding, str):
    pads = lax.padtype_to_pads(x.shape[1:3], size, strides, padding)
  if any(
    n + sum(pad) < k for n, pad, k in zip(x.shape[1:3], pads, size, strict=True)
  ):
    raise InputError(
      f'a {size[0]}x{size[1]} kernel leaves no pixel of a '
      f'{x.shape[1]}x{x.shape[2]} map, padded by {list(pads)}; use larger '
      'images or fewer strides'
    )
  return convolution.conv(x, kernel, strides, pads)


class Conv(nn.Conv):
  """Two-dimensional flax Conv, with a lowering chosen for the platform.

  Raises InputError if the output would have no pixel. In flax, a VALID layer on
  too small a map leads to NaN further down, not to an error.
  """

  conv_general_dilated: Callable[..., Array] = _conv_general_dilated

  def __call__(self, x: Array) -> Array:
    try:
      return super().__call__(x)
    except InputError as error:
      raise InputError(f'{self.name or "convolution"}: {error}') from None


class ConvTranspose(nn.Module):
  """Two-dimensional flax ConvTranspose, with a lowering for the platform."""

  features: int
  kernel_size: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  padding: convolution.Padding = 'SAME'
  use_bias: bool = True
  dtype: Any = None
  kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
  bias_init: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = None
    if self.use_bias:
      bias = self.param('bias', self.bias_init, (self.features,))
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = convolution.conv_transpose(x, kernel, self.strides, self.padding)
    return y if bias is None else y + bias


def upsampled(
  x: Array,
  features: int,
  how: str,
  size: int,
  padding: convolution.Padding,
  **options: Any,
) -> Array:
  """Doubles the size of images by one of three kinds of upsampling layers.

  Only 'transposed' leaves checkerboard artefacts. Call it in a compact method,
  in which it creates the layer `options['name']`.

  Args:
    x: images [B, H, W, C].
    features: the channels of the output [B, 2H, 2W, features].
    how: 'transposed' for a stride-2 transposed convolution; 'resize' for
      nearest-neighbour upsampling and a 3x3 convolution (Odena et al. 2016,
      https://doi.org/10.23915/distill.00003); 'blur' for bilinear upsampling
      and a 3x3 convolution.
    size: the transposed convolution's kernel size.
    padding: the transposed convolution's padding.
    **options: the layer's options.
  """
  if how == 'transposed':
    layer = ConvTranspose(features, (size, size), (2, 2), padding, **options)
    return layer(x)
  if how == 'resize':
    doubled = {'conv_general_dilated': resampling.conv_of_doubled}
    return Conv(features, (3, 3), **doubled, **options)(x)
  x = resampling.upsample(x, edges='replicate')
  return Conv(features, (3, 3), **options)(x)


class BatchNorm(nn.Module):
  """Batch normalisation, over the global batch if given the mapped axis."""

  axis_name: str | None = None
  momentum: float = 0.99
  use_scale: bool = True
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    return nn.BatchNorm(
      use_running_average=not train,
      momentum=self.momentum,
      use_scale=self.use_scale,
      use_bias=self.use_bias,
      axis_name=self.axis_name if train else None,
      name='norm',
    )(x)


class SpectralNorm(nn.SpectralNorm):
  """Spectral normalisation that keeps the layer's own initial parameters.

  flax's SpectralNorm stores them divided by their norm, which changes their
  scale from the initialiser's, and the relative size of Adam's steps.
  """

  @nn.compact
  def __call__(self, x: Array, *, update_stats: bool) -> Array:
    if not self.is_initializing():
      return super().__call__(x, update_stats=update_stats)
    layer = self.layer_instance
    layer(x)
    initial = dict(layer.variables['params'])
    y = super().__call__(x, update_stats=update_stats)
    for name, value in initial.items():
      layer.put_variable('params', name, value)
    return y


def applying(
  spectral: bool, train: bool
) -> Callable[[nn.Module, Array], Array]:
  """Returns a function that applies a layer, spectrally normalised or not."""

  def apply(layer: nn.Module, x: Array) -> Array:
    if not spectral:
      return layer(x)
    norm = SpectralNorm(layer, dtype=x.dtype, name=f'{layer.name}_norm')
    return norm(x, update_stats=train)

  return apply


class InstanceNorm(nn.Module):
  """Instance normalisation, without scale and shift."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return nn.InstanceNorm(
      epsilon=1e-5, use_bias=False, use_scale=False, name='norm'
    )(x)


def normalize(
  x: Array, how: str, axis_name: str | None, *, train: bool, name: str
) -> Array:
  """Normalises images' features, as the translation networks do.

  Call it in a compact method, in which it creates the layer `name`.

  Args:
    x: features [B, H, W, C].
    how: 'batch', 'instance' (without scale and shift) or 'none'.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    train: whether BatchNorm uses the batch's statistics.
    name: the layer's name.
  """
  if how == 'batch':
    return BatchNorm(axis_name, momentum=0.9, name=name)(x, train=train)
  return InstanceNorm(name=name)(x) if how == 'instance' else x


def kernel_init(name: str, gain: float) -> nn.initializers.Initializer:
  """Returns a kernel initialiser by its name in the code of CycleGAN and CUT.

  Args:
    name: 'normal', N(0, gain^2); 'xavier', with variance gain^2 over the mean
      of fan-in and fan-out; 'kaiming', with variance 2 over fan-in, whatever
      the gain; or 'orthogonal', times the gain.
    gain: 0.02 in these papers.
  """
  scaling = nn.initializers.variance_scaling
  return {
    'normal': nn.initializers.normal(gain),
    'xavier': scaling(gain**2, 'fan_avg', 'normal'),
    'kaiming': scaling(2.0, 'fan_in', 'normal'),
    'orthogonal': nn.initializers.orthogonal(gain),
  }[name]


class Dropout(nn.Module):
  """Dropout whose mask for a row depends only on the row's index in the batch.

  It takes its key from the 'noise' stream, and the rows' indices [B] in the
  global batch, so that chunks of the batch, devices and hosts draw what one
  device would draw for the whole; see `gan_jax.core.rng`.
  """

  rate: float

  @nn.compact
  def __call__(
    self, x: Array, *, train: bool, rows: Array | None = None
  ) -> Array:
    if not train or self.rate == 0.0:
      return x
    keys = _noise_keys(self, x, rows)
    keep, probability = bernoulli_rows(keys, x.shape[1:], 1.0 - self.rate)
    return jnp.where(keep, x / probability, 0.0)


class GaussianNoise(nn.Module):
  """Gaussian noise N(0, stddev^2) in training, with keys as in `Dropout`."""

  stddev: float

  @nn.compact
  def __call__(
    self, x: Array, *, train: bool, rows: Array | None = None
  ) -> Array:
    if not train or self.stddev == 0.0:
      return x
    noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(
      _noise_keys(self, x, rows)
    )
    return x + (self.stddev * noise).astype(x.dtype)


def _noise_keys(module: nn.Module, x: Array, rows: Array | None) -> PRNGKey:
  """Derives a key for each row; without `rows`, x is the whole batch."""
  rows = global_rows(len(x)) if rows is None else rows
  return keys_of(module.make_rng('noise'), rows)


class WeightNormDense(nn.Module):
  """Dense layer with weight normalisation: a direction and a scale per unit.

  Attributes:
    features: the number of units.
    from_data: whether `init` sets scale and bias so that the units have mean 0
      and variance 1 on its input; otherwise the scale is 1 and the bias 0.
    train_scale: whether the scale is a parameter; otherwise it is constant.

  References:
    Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868, equations 2, 6.
  """

  features: int
  from_data: bool = False
  train_scale: bool = True

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (x.shape[-1], self.features)
    direction = self.param('direction', nn.initializers.normal(0.1), shape)
    y = x @ (direction / jnp.linalg.norm(direction, axis=0))
    mean, stddev = jnp.zeros(self.features), jnp.ones(self.features)
    if self.from_data and self.is_initializing():
      mean, stddev = y.mean(axis=0), y.std(axis=0)

    def initial_scale(*_):
      return 1.0 / stddev

    if self.train_scale:
      scale = self.param('scale', initial_scale)
    else:
      scale = self.variable('frozen', 'scale', initial_scale).value
    bias = self.param('bias', lambda _: -mean / stddev)
    return scale.astype(y.dtype) * y + bias
