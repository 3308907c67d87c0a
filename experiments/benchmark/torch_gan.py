"""Unconditional GAN in plain PyTorch: a peer to time and an oracle.

It has the networks, losses, optimisers and order of play of
`gan_jax.systems.gan`, for the settings of the workloads.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn

from experiments.benchmark import torch_common, torch_networks
from gan_jax.data.spec import DataSpec
from gan_jax.systems.state import Weights


class ConvDiscriminator(nn.Module):
  """Mirrors `gan_jax.models.dcgan.ConvDiscriminator`."""

  def __init__(self, image_shape, width, base_size, normalization):
    super().__init__()
    size, _, channels = image_shape
    self.layers = []
    for i in range((size // base_size).bit_length() - 1):
      conv = nn.Conv2d(channels, width * 2**i, 5, 2, padding=2)
      self.add_module(f'conv{i + 1}', conv)
      channels = width * 2**i
      norm = None
      if normalization == 'batch' and i > 0:
        norm = nn.BatchNorm2d(channels, momentum=0.01)
        self.add_module(f'norm{i + 1}', norm)
      self.layers.append((conv, norm))
    self.logit = nn.Linear(channels * base_size**2, 1)

  def forward(self, x):
    """Maps images [B, C, H, W] to logits [B, 1]."""
    for conv, norm in self.layers:
      x = conv(x)
      if norm is not None:
        x = norm(x)
      x = F.leaky_relu(x, 0.2)
    return self.logit(x.flatten(1))


class Peer(torch_common.Peer):
  """The system with its state; `step` trains it.

  Args:
    config: a GAN's config: two MLPs, two convolutional networks without
      spectral normalisation, or two residual ones of one kind; the loss
      non_saturating, relativistic or hinge, with R1 and R2; one update of D per
      update of G.
    spec: the data's spec.
    weights: our weights, {'generator': ..., 'discriminator': ...}.
    variant: 'eager', 'channels_last' or 'compile'.

  Raises ValueError for any other config.
  """

  def __init__(
    self,
    config: Any,
    spec: DataSpec,
    weights: Mapping[str, Weights],
    variant: str = 'eager',
  ):
    players = _players(config.model, spec.image_shape)
    loss = config.loss
    self.loss = loss.adversarial.name
    if self.loss not in ('non_saturating', 'relativistic', 'hinge'):
      raise ValueError(f'the peer has no loss {self.loss}')
    if loss.n_critic != 1 or loss.lambda_gp:
      raise ValueError('the peer has neither n_critic > 1 nor lambda_gp')
    # The residual networks' padding is symmetric.
    self.mirrored = config.model.generator.name not in ('r3gan', 'resnet')
    super().__init__(config, players, weights, variant)
    self.spectral = getattr(players['discriminator'], 'spectral', False)
    if self.spectral:
      stats = weights['discriminator'].model_state['batch_stats']
      players['discriminator'].u = {
        name.removesuffix('_norm'): torch.tensor(np.array(value)[0])
        for name, group in stats.items()
        for key, value in group.items()
        if key.endswith('/u')
      }
    if variant == 'compile':  # including the gradient within D's loss
      torch._dynamo.config.trace_autograd_ops = True
    self._samples = self.compiled(players['generator'])
    self._d_loss = self.compiled(self.d_loss)
    self._g_loss = self.compiled(self.g_loss)

  def d_loss(self, real, fake):
    """Computes D's loss on data and samples."""
    discriminator, loss = self.players['discriminator'], self.config.loss
    on_real, on_fake = discriminator(real), discriminator(fake)
    if self.loss == 'relativistic':
      total = F.softplus(on_fake - on_real).mean()
    elif self.loss == 'hinge':
      total = (F.relu(1 - on_real) + F.relu(1 + on_fake)).mean()
    else:
      s = loss.adversarial.label_smoothing
      total = (1 - s) * F.softplus(-on_real) + s * F.softplus(on_real)
      total = (total + F.softplus(on_fake)).mean()
    for gamma, x, logits in (
      (loss.r1_gamma, real, on_real),
      (loss.r2_gamma, fake, on_fake),
    ):
      if gamma:
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        total = total + 0.5 * gamma * slope.square().sum() / len(x)
    return total

  def g_loss(self, real, fake):
    """Computes G's loss on the same images against the new D."""
    discriminator = self.players['discriminator']
    on_fake = discriminator(fake)
    if self.loss == 'relativistic':
      return F.softplus(discriminator(real) - on_fake).mean()
    if self.loss == 'hinge':
      return -on_fake.mean()
    return F.softplus(-on_fake).mean()

  def step(self, batch: Mapping[str, Mapping[str, np.ndarray]], z=None):
    """Takes a training step on a batch from our sampler; returns the losses."""
    model, loss = self.config.model, self.config.loss
    image = batch['train']['image']
    flat = model.discriminator.name == 'mlp'
    real = (self.to_rows if flat else self.to_image)(image)
    if z is None and model.z_prior == 'normal':
      z = torch.randn(len(real), model.z_dim)
    elif z is None:
      z = 2.0 * torch.rand(len(real), model.z_dim) - 1.0
    fake = self._samples(z)
    d_loss = self._d_loss(
      real.requires_grad_(loss.r1_gamma > 0.0),
      fake.detach().requires_grad_(loss.r2_gamma > 0.0),
    )
    self.update('discriminator', self.gradients('discriminator', d_loss))
    if self.spectral:
      self.players['discriminator'].advance()
    g_loss = self._g_loss(real.detach(), fake)
    self.update('generator', self.gradients('generator', g_loss))
    return {'discriminator': d_loss, 'generator': g_loss}


def _players(model: Any, image_shape: tuple[int, int, int]):
  """Builds G and D; the MLPs' images are flat."""
  generator, discriminator = model.generator, model.discriminator
  names = generator.name, discriminator.name
  if names == ('mlp', 'mlp'):
    pixels = math.prod(image_shape)
    return {
      'generator': nn.Sequential(
        OrderedDict(_mlp(model.z_dim, generator.hidden, pixels), tanh=nn.Tanh())
      ),
      'discriminator': nn.Sequential(_mlp(pixels, discriminator.hidden, 1)),
    }
  if names == ('r3gan', 'r3gan'):
    g, d = (
      (network['widths'], network['blocks'], network['group_width'])
      for network in (generator, discriminator)
    )
    return {
      'generator': torch_networks.R3GANGenerator(image_shape, model.z_dim, *g),
      'discriminator': torch_networks.R3GANDiscriminator(image_shape, *d),
    }
  if names == ('resnet', 'resnet'):
    return {
      'generator': torch_networks.ResNetImageGenerator(
        image_shape, model.z_dim, generator.width
      ),
      'discriminator': torch_networks.ResNetDiscriminator(
        image_shape, discriminator.width, discriminator.normalization
      ),
    }
  if names != ('deconv', 'conv'):
    raise ValueError(f'the peer does not pair the networks {names}')
  if generator.base_size != discriminator.base_size:
    raise ValueError('the peer has one base_size for both networks')
  if discriminator.normalization == 'spectral':
    raise ValueError('the peer has no spectral normalisation')
  return {
    'generator': torch_common.DeconvGenerator(
      image_shape, model.z_dim, generator.size_mult, generator.base_size
    ),
    'discriminator': ConvDiscriminator(
      image_shape,
      discriminator.width,
      discriminator.base_size,
      discriminator.normalization,
    ),
  }


def _mlp(inputs: int, hidden: int, outputs: int) -> OrderedDict:
  return OrderedDict(
    dense1=nn.Linear(inputs, hidden),
    leaky=nn.LeakyReLU(0.01),
    dense2=nn.Linear(hidden, outputs),
  )
