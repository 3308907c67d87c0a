"""Fully connected semi-supervised GAN in plain PyTorch.

It has the networks, losses, optimisers and order of play of
`gan_jax.systems.improved_gan`, in idiomatic PyTorch: D processes its three
streams in one pass, since rows do not interact.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn

from experiments.benchmark import torch_common
from gan_jax.data.spec import DataSpec
from gan_jax.systems.state import Weights


class WeightNormLinear(nn.Module):
  """Mirrors `gan_jax.models.layers.WeightNormDense`."""

  def __init__(self, inputs, outputs, train_scale=True):
    super().__init__()
    self.direction = nn.Parameter(torch.empty(outputs, inputs))
    self.scale = nn.Parameter(torch.empty(outputs), requires_grad=train_scale)
    self.bias = nn.Parameter(torch.empty(outputs))

  def forward(self, x):
    weight = self.scale[:, None] * F.normalize(self.direction, dim=1)
    return F.linear(x, weight, self.bias)


class Generator(nn.Module):
  """Mirrors `gan_jax.models.mlp.SoftplusGenerator`, with flat images."""

  def __init__(self, pixels, z_dim, hidden):
    super().__init__()
    self.layers = []
    inputs = z_dim
    for i, units in enumerate(hidden, start=1):
      dense = nn.Linear(inputs, units, bias=False)
      norm = nn.BatchNorm1d(units, momentum=0.1)
      norm.weight.requires_grad_(False)  # only the shift is trained
      self.add_module(f'dense{i}', dense)
      self.add_module(f'norm{i}', norm)
      self.layers.append((dense, norm))
      inputs = units
    self.pixels = WeightNormLinear(inputs, pixels)

  def forward(self, z):
    """Maps z [B, z_dim] to images [B, H * W * C] in [0, 1]."""
    x = z
    for dense, norm in self.layers:
      x = F.softplus(norm(dense(x)))
    return torch.sigmoid(self.pixels(x))


class Classifier(nn.Module):
  """Mirrors `gan_jax.models.mlp.NoisyClassifier`."""

  def __init__(self, num_logits, pixels, hidden, input_noise, hidden_noise):
    super().__init__()
    self.input_noise, self.hidden_noise = input_noise, hidden_noise
    self.layers = []
    inputs = pixels
    for i, units in enumerate(hidden, start=1):
      dense = WeightNormLinear(inputs, units, train_scale=False)
      self.add_module(f'dense{i}', dense)
      self.layers.append(dense)
      inputs = units
    self.class_logits = WeightNormLinear(inputs, num_logits)

  def forward(self, x):
    """Maps images [B, H * W * C] in [0, 1] to (class logits, features)."""
    x = x + self.input_noise * torch.randn_like(x)
    for dense in self.layers:
      features = F.relu(dense(x))
      x = features + self.hidden_noise * torch.randn_like(features)
    return self.class_logits(x), features


class Peer(torch_common.Peer):
  """The system with its state; `step` trains it.

  Args:
    config: an improved GAN's config.
    spec: the data's spec.
    weights: our weights, {'generator': ..., 'discriminator': ...}.
    variant: 'eager', 'channels_last' or 'compile'.
  """

  def __init__(
    self,
    config: Any,
    spec: DataSpec,
    weights: Mapping[str, Weights],
    variant: str = 'eager',
  ):
    model, pixels = config.model, math.prod(spec.image_shape)
    players = {
      'generator': Generator(pixels, model.z_dim, **model.generator),
      'discriminator': Classifier(
        spec.num_classes, pixels, **model.discriminator
      ),
    }
    super().__init__(config, players, weights, variant)
    self._d_loss = self.compiled(self.d_loss)
    self._g_loss = self.compiled(self.g_loss)

  def d_loss(self, labelled, label, real, z):
    """Computes D's loss on labelled images, unlabelled ones and samples."""
    generator, discriminator = self.players.values()
    with torch.no_grad():
      fake = generator(z)
    logits, _ = discriminator(torch.cat([labelled, real, fake]))
    on_labelled, on_real, on_fake = logits.chunk(3)
    real_fake = F.softplus(-on_real.logsumexp(1))
    real_fake = real_fake + F.softplus(on_fake.logsumexp(1))
    weight = 0.5 * self.config.loss.unlabelled_weight
    return F.cross_entropy(on_labelled, label) + weight * real_fake.mean()

  def g_loss(self, real, z):
    """Computes G's loss against the new D: feature matching."""
    generator, discriminator = self.players.values()
    with torch.no_grad():
      _, on_real = discriminator(real)
    _, on_fake = discriminator(generator(z))
    return (on_real.mean(0) - on_fake.mean(0)).square().mean()

  def step(self, batch: Mapping[str, Mapping[str, np.ndarray]], z=None):
    """Takes a training step on a batch from our sampler; returns the losses.

    Args:
      batch: a batch of the three streams.
      z: latents [2, B, z_dim] for D's samples and for G's, or None to draw.
    """
    labelled, real, real_for_g = (
      0.5 * (self.to_rows(batch[name]['image']) + 1.0)
      for name in ('labelled', 'unlabelled', 'unlabelled_for_g')
    )
    label = torch.from_numpy(batch['labelled']['label']).long()
    if z is None:
      z = torch.rand(2, len(real), self.config.model.z_dim)
    d_loss = self._d_loss(labelled, label, real, z[0])
    self.update('discriminator', self.gradients('discriminator', d_loss))
    g_loss = self._g_loss(real_for_g, z[1])
    self.update('generator', self.gradients('generator', g_loss))
    return {'discriminator': d_loss, 'generator': g_loss}
