"""Networks, optimisers and averages that the PyTorch peers share.

In strided convolutions, XLA's SAME padding puts the odd pixel after the image,
and PyTorch's symmetric padding in effect before it. A peer of networks with
SAME padding therefore works on mirrored data: flipped images and kernels give
exactly the same products.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from flax import traverse_util
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gan_jax.config import flatten
from gan_jax.models.patchgan import PATCH_SIZES
from gan_jax.systems.state import Weights


class DeconvGenerator(nn.Module):
  """Mirrors `gan_jax.models.dcgan.DeconvGenerator`."""

  def __init__(self, image_shape, z_dim, size_mult, base_size):
    super().__init__()
    self.base_size = base_size
    num_layers = (image_shape[0] // base_size).bit_length() - 1
    widths = [size_mult * 2**i for i in reversed(range(num_layers))]
    widths.append(image_shape[2])
    self.dense = nn.Linear(z_dim, base_size**2 * widths[0])
    self.norm0 = nn.BatchNorm2d(widths[0], momentum=0.01)
    self.layers = []
    for i in range(1, num_layers + 1):
      deconv = nn.ConvTranspose2d(
        widths[i - 1], widths[i], 5, 2, padding=2, output_padding=1
      )
      self.add_module(f'deconv{i}', deconv)
      norm = None
      if i < num_layers:
        norm = nn.BatchNorm2d(widths[i], momentum=0.01)
        self.add_module(f'norm{i}', norm)
      self.layers.append((deconv, norm))

  def forward(self, z):
    """Maps z [B, z_dim] to images [B, C, H, W]."""
    x = self.dense(z).view(len(z), -1, self.base_size, self.base_size)
    x = F.leaky_relu(self.norm0(x), 0.2)
    for deconv, norm in self.layers:
      x = deconv(x)
      if norm is not None:
        x = F.leaky_relu(norm(x), 0.2)
    return torch.tanh(x)


def check_translation(model: Any, generator: str, normalization: str) -> None:
  """Raises ValueError for networks that the translation peers do not mirror."""
  g, d = model.generator, model.discriminator
  found = g.name, g.normalization, g.upsampling, g.downsampling, d.downsampling
  wanted = generator, normalization, 'transposed', 'strided', 'strided'
  if found != wanted:
    raise ValueError(f'the peer has {wanted} only, not {found}')


def patch_discriminator(channels: int, settings: Any) -> 'PatchDiscriminator':
  """Builds the discriminator that a config's group describes."""
  return PatchDiscriminator(
    channels, settings.width, settings.patch_size, settings.normalization
  )


class PatchDiscriminator(nn.Module):
  """Mirrors `gan_jax.models.patchgan.PatchDiscriminator`, with strides."""

  def __init__(self, channels, width, patch_size, normalization):
    super().__init__()
    num_strided = PATCH_SIZES[patch_size]
    size, pad = (4, 1) if num_strided else (1, 0)
    self.layers = []
    for i, stride in enumerate([*([2] * num_strided or [1]), 1]):
      features = min(2**i, 8) * width
      bias = i == 0 or normalization != 'batch'
      conv = nn.Conv2d(channels, features, size, stride, pad, bias=bias)
      self.add_module(f'conv{i + 1}', conv)
      norm = nn.Identity()
      if i > 0 and normalization == 'batch':
        norm = nn.BatchNorm2d(features, momentum=0.1)
      elif i > 0 and normalization == 'instance':
        norm = nn.InstanceNorm2d(features)
      self.add_module(f'norm{i + 1}', norm)
      self.layers.append((conv, norm))
      channels = features
    self.logit = nn.Conv2d(channels, 1, size, padding=pad)

  def forward(self, x):
    """Maps images [B, C, H, W] to logits [B, H', W']."""
    for conv, norm in self.layers:
      x = F.leaky_relu(norm(conv(x)), 0.2)
    return self.logit(x)[:, 0]


class RootEpsAdam(torch.optim.Optimizer):
  """Adam with an epsilon inside the square root, like optax's `eps_root`."""

  def __init__(self, params, lr, betas, eps, eps_root):
    defaults = {'lr': lr, 'betas': betas, 'eps': eps, 'eps_root': eps_root}
    super().__init__(params, defaults)

  @torch.no_grad()
  def step(self):
    for group in self.param_groups:
      params = group['params']
      gradients = [p.grad for p in params]
      for p in params:
        if not self.state[p]:
          self.state[p] = {
            'step': 0,
            'mean': torch.zeros_like(p),
            'square': torch.zeros_like(p),
          }
        self.state[p]['step'] += 1
      t = self.state[params[0]]['step']
      b1, b2 = group['betas']
      mean = [self.state[p]['mean'] for p in params]
      square = [self.state[p]['square'] for p in params]
      torch._foreach_lerp_(mean, gradients, 1 - b1)
      torch._foreach_mul_(square, b2)
      torch._foreach_addcmul_(square, gradients, gradients, 1 - b2)
      scale = torch._foreach_div(square, 1 - b2**t)
      torch._foreach_add_(scale, group['eps_root'])
      torch._foreach_sqrt_(scale)
      torch._foreach_add_(scale, group['eps'])
      torch._foreach_addcdiv_(params, mean, scale, -group['lr'] / (1 - b1**t))


# The only values that the peers support, by suffix of a config's key.
_PLAYED = {
  'augment.policy': (None,),
  'ema.name': ('none', 'debiased'),
  'freeze': (None,),
  'loss.g_batch': ('shared',),
  'loss.lambda_lecam': (0.0,),
  'model.conditioning': ('none',),
  '_schedule.name': ('constant',),  # the learning rate's is 'schedule.name'
}


def _check(config: Any) -> None:
  """Raises ValueError for a config that the peers do not support."""
  for key, value in flatten(config):
    for end, played in _PLAYED.items():
      if key.endswith(end) and value not in played:
        raise ValueError(f'the peer does not support config.{key} = {value!r}')


class Peer:
  """Base class of a system's peer: both players, optimisers and averages.

  Args:
    config: the system's config.
    players: the networks, 'generator' and 'discriminator'.
    weights: our weights, by player.
    variant: 'eager', 'channels_last' or 'compile'.
  """

  mirrored = True  # False if all of our padding is symmetric, too

  def __init__(
    self,
    config: Any,
    players: Mapping[str, nn.Module],
    weights: Mapping[str, Weights],
    variant: str,
  ):
    _check(config)
    self.config, self.players = config, players
    self.base_size = config.model.generator.get('base_size')
    self.format = torch.contiguous_format
    if variant == 'channels_last':
      self.format = torch.channels_last
    self.compiled = torch.compile if variant == 'compile' else lambda f: f
    self.optimizers, self.averages = {}, {}
    for name, network in players.items():
      params, frozen = weights[name].params, weights[name].model_state
      state = self.to_torch(params) | self.to_torch(frozen.get('frozen', {}))
      network.load_state_dict(
        {key: torch.tensor(value) for key, value in state.items()},
        strict=False,  # BatchNorm's running statistics keep their defaults
      )
      network.to(memory_format=self.format)
      settings = config.optimizer[name]
      self.optimizers[name] = make_optimizer(self.trained(name), settings)
      if settings.ema.name != 'none':
        self.averages[name] = average(network, settings.ema.decay)

  def trained(self, name: str) -> list[nn.Parameter]:
    """Returns a player's trained parameters."""
    return [p for p in self.players[name].parameters() if p.requires_grad]

  def gradients(self, name: str, loss: torch.Tensor, **options):
    """Differentiates a loss with respect to a player's trained parameters."""
    return torch.autograd.grad(loss, self.trained(name), **options)

  def update(self, name: str, gradients: Sequence[torch.Tensor]) -> None:
    """Applies gradients to a player, and updates its moving average."""
    for p, gradient in zip(self.trained(name), gradients, strict=True):
      p.grad = gradient
    self.optimizers[name].step()
    if name in self.averages:
      self.averages[name].update_parameters(self.players[name])

  def to_image(self, image: np.ndarray) -> torch.Tensor:
    """Converts uint8 images to the networks' inputs [B, C, H, W] in [-1, 1].

    Args:
      image: [B, H, W, C].
    """
    x = torch.from_numpy(image).permute(0, 3, 1, 2).to(torch.float32)
    x = x / 127.5 - 1.0
    x = x.flip(2, 3) if self.mirrored else x
    return x.contiguous(memory_format=self.format)

  def to_rows(self, image: np.ndarray) -> torch.Tensor:
    """Converts uint8 images [B, H, W, C] to rows [B, H * W * C] in [-1, 1]."""
    return torch.from_numpy(image).flatten(1).to(torch.float32) / 127.5 - 1.0

  def to_torch(self, params: Mapping) -> dict[str, np.ndarray]:
    """Converts a network's parameters or gradients from flax's layout."""
    converted = {}
    for path, value in traverse_util.flatten_dict(dict(params)).items():
      # Our BatchNorm wraps flax's, with the name norm.
      *layers, key = [*path[:1], *(name for name in path[1:] if name != 'norm')]
      layer = layers[-1] if layers else ''
      name = '.'.join([*layers, _torch_name(layer, key)])
      converted[name] = self._convert(layer, np.asarray(value))
    return converted

  def _convert(self, layer: str, value: np.ndarray) -> np.ndarray:
    size = self.base_size
    if value.ndim == 3:
      return value.transpose(2, 0, 1).copy()
    if (
      layer == 'dense' and size
    ):  # its output is a map: its pixels are mirrored and come last
      value = value.reshape(-1, size, size, value.shape[-1] // size**2)
      value = value[:, ::-1, ::-1].transpose(3, 1, 2, 0)
      value = value.reshape(-1, value.shape[-1])
      return (value[:, 0] if value.shape[1] == 1 else value).copy()
    if value.ndim == 2 and layer == 'logit' and size:  # its input is a map
      value = value.reshape(size, size, -1)[::-1, ::-1]
      return value.transpose(2, 0, 1).reshape(1, -1).copy()
    if value.ndim == 4:
      # PyTorch's transposed convolution flips its kernel, unlike ours.
      transposed = layer.startswith(('deconv', 'up'))
      if transposed != self.mirrored:
        value = value[::-1, ::-1]
      order = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
      return value.transpose(order).copy()
    return value.T.copy()


def _torch_name(layer: str, key: str) -> str:
  return (
    'weight' if key in ('kernel', 'scale' if 'norm' in layer else '') else key
  )


def make_optimizer(
  params: Sequence[nn.Parameter], settings: Any
) -> torch.optim.Optimizer:
  """Mirrors `gan_jax.systems.update.make_optimizer`, at a constant rate."""
  if settings.name == 'sgd':
    return torch.optim.SGD(params, settings.learning_rate)
  options = settings.learning_rate, (settings.b1, settings.b2), settings.eps
  if settings.eps_root:
    return RootEpsAdam(params, *options, settings.eps_root)
  return torch.optim.Adam(params, *options, fused=True)


def average(network: nn.Module, decay: float) -> AveragedModel:
  """Builds a debiased moving average, equal to ours."""

  def update(averages, params, num_averaged):
    share = (1 - decay) / (1 - decay ** (int(num_averaged) + 1))
    torch._foreach_lerp_(averages, params, share)

  return AveragedModel(network, multi_avg_fn=update)
