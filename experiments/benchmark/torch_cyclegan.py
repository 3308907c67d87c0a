"""CycleGAN in plain PyTorch: a peer to time and an oracle.

It has the networks, losses, optimisers and order of play of
`gan_jax.systems.cyclegan`, in idiomatic PyTorch, with the image pool in a list.
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn

from experiments.benchmark import torch_common
from gan_jax.data.spec import DomainSpec
from gan_jax.systems.state import Weights


class ResNet(nn.Module):
  """Mirrors `gan_jax.models.resnet.ResNetGenerator`."""

  def __init__(self, inputs, outputs, width, num_blocks):
    super().__init__()

    def reflected(inputs, outputs, size):
      return nn.Conv2d(
        inputs, outputs, size, padding=size // 2, padding_mode='reflect'
      )

    self.first = reflected(inputs, width, 7)
    self.down1 = nn.Conv2d(width, 2 * width, 3, 2, padding=1)
    self.down2 = nn.Conv2d(2 * width, 4 * width, 3, 2, padding=1)
    self.blocks = []
    for i in range(1, num_blocks + 1):
      convs = [reflected(4 * width, 4 * width, 3) for _ in range(2)]
      for j, conv in enumerate(convs, start=1):
        self.add_module(f'block{i}_conv{j}', conv)
      self.blocks.append(convs)
    self.up1 = nn.ConvTranspose2d(
      4 * width, 2 * width, 3, 2, padding=1, output_padding=1
    )
    self.up2 = nn.ConvTranspose2d(
      2 * width, width, 3, 2, padding=1, output_padding=1
    )
    self.last = reflected(width, outputs, 7)

  def forward(self, x):
    """Maps images [B, C, H, W] to images."""
    for conv in (self.first, self.down1, self.down2):
      x = F.relu(F.instance_norm(conv(x)))
    for conv1, conv2 in self.blocks:
      y = F.relu(F.instance_norm(conv1(x)))
      x = x + F.instance_norm(conv2(y))
    for deconv in (self.up1, self.up2):
      x = F.relu(F.instance_norm(deconv(x)))
    return torch.tanh(self.last(x))


def query_pool(
  pool: list[torch.Tensor], size: int, images: torch.Tensor
) -> torch.Tensor:
  """Mirrors `gan_jax.image_pool.query_pool`; modifies the pool, a list."""
  if size == 0:
    return images
  mixed = []
  for image in images.split(1):
    if len(pool) < size:
      pool.append(image)
    elif random.random() < 0.5:
      i = random.randrange(size)
      image, pool[i] = pool[i], image
    mixed.append(image)
  return torch.cat(mixed)


class Peer(torch_common.Peer):
  """The system with its state; `step` trains it.

  Args:
    config: a CycleGAN config with the loss least_squares.
    spec: the data's spec.
    weights: our weights, {'generator': ..., 'discriminator': ...}.
    variant: 'eager', 'channels_last' or 'compile'.

  Raises ValueError for any other loss.
  """

  mirrored = False

  def __init__(
    self,
    config: Any,
    spec: DomainSpec,
    weights: Mapping[str, Weights],
    variant: str = 'eager',
  ):
    model, loss = config.model, config.loss.adversarial.name
    if loss != 'least_squares':
      raise ValueError(f'the peer has no loss {loss}')
    torch_common.check_translation(model, 'resnet', 'instance')
    channels = {'a': spec.a_shape[2], 'b': spec.b_shape[2]}
    players = {
      'generator': nn.ModuleDict(
        {
          way: ResNet(
            channels[way[0]],
            channels[way[2]],
            model.generator.width,
            model.generator.num_blocks,
          )
          for way in ('a2b', 'b2a')
        }
      ),
      'discriminator': nn.ModuleDict(
        {
          domain: torch_common.patch_discriminator(num, model.discriminator)
          for domain, num in channels.items()
        }
      ),
    }
    super().__init__(config, players, weights, variant)
    self.pools = {'a': [], 'b': []}
    self._g_loss = self.compiled(self.g_loss)
    self._d_loss = self.compiled(self.d_loss)

  def to_torch(self, params: Mapping) -> dict[str, np.ndarray]:
    """Converts the parameters of a player's two networks."""
    named = {}
    for name, network in params.items():
      for key, value in super().to_torch(network).items():
        named[f'{name}.{key}'] = value
    return named

  def g_loss(self, real):
    """Computes both generators' loss on images of a and b, and their fakes.

    Args:
      real: {'a': ..., 'b': ...}.
    """
    generator, discriminator = self.players.values()
    loss, fakes, total = self.config.loss, {}, 0.0
    for way, back in (('a2b', 'b2a'), ('b2a', 'a2b')):
      source, target = way.split('2')
      fake = fakes[target] = generator[way](real[source])
      value = 0.5 * (discriminator[target](fake) - 1.0).square().mean()
      cycle = F.l1_loss(generator[back](fake), real[source])
      total = total + loss.lambda_adversarial * value
      total = total + loss.lambda_cycle * cycle
      if loss.lambda_identity:
        identity = F.l1_loss(generator[way](real[target]), real[target])
        total = total + loss.lambda_identity * identity
    return total, fakes

  def d_loss(self, real, fakes):
    """Computes both discriminators' loss on data and on pooled fakes."""
    total = 0.0
    for domain, discriminator in self.players['discriminator'].items():
      on_real = discriminator(real[domain])
      on_fake = discriminator(fakes[domain])
      squared = 0.5 * (on_real - 1.0).square() + 0.5 * on_fake.square()
      total = total + self.config.loss.lambda_discriminator * squared.mean()
    return total

  def step(self, batch: Mapping[str, Mapping[str, np.ndarray]]):
    """Takes a training step on a batch from our sampler; returns the losses."""
    real = {domain: self.to_image(batch[domain]['image']) for domain in 'ab'}
    g_loss, fakes = self._g_loss(real)
    self.update('generator', self.gradients('generator', g_loss))
    size = self.config.model.pool_size
    shown = {
      domain: query_pool(self.pools[domain], size, fake.detach())
      for domain, fake in fakes.items()
    }
    d_loss = self._d_loss(real, shown)
    self.update('discriminator', self.gradients('discriminator', d_loss))
    return {'discriminator': d_loss, 'generator': g_loss}
