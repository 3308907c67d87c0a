"""pix2pix in plain PyTorch: a peer to time and an oracle.

It has the networks, losses, optimisers and order of play of
`gan_jax.systems.pix2pix`, in idiomatic PyTorch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn

from experiments.benchmark import torch_common
from gan_jax.data.spec import DomainSpec
from gan_jax.models.unet import count_levels
from gan_jax.systems.state import Weights


class UNet(nn.Module):
  """Mirrors `gan_jax.models.unet.UNetGenerator`."""

  def __init__(self, inputs, outputs, width, num_levels):
    super().__init__()
    widths = [min(2**i, 8) * width for i in range(num_levels)]
    self.down, self.up = [], []  # `up` starts with the innermost
    for i, features in enumerate(widths):
      conv = nn.Conv2d(inputs, features, 4, 2, padding=1, bias=False)
      self.add_module(f'down{i + 1}', conv)
      norm = nn.Identity()
      if 0 < i < num_levels - 1:
        norm = nn.BatchNorm2d(features, momentum=0.1)
      self.add_module(f'down_norm{i + 1}', norm)
      self.down.append((conv, norm))
      inputs = features
    for i in reversed(range(num_levels)):
      features = outputs if i == 0 else widths[i - 1]
      deconv = nn.ConvTranspose2d(
        inputs, features, 4, 2, padding=1, bias=i == 0
      )
      self.add_module(f'up{i + 1}', deconv)
      norm = nn.Identity()
      if i > 0:
        norm = nn.BatchNorm2d(features, momentum=0.1)
      self.add_module(f'up_norm{i + 1}', norm)
      self.up.append((deconv, norm))
      inputs = 2 * features  # including the skip connection's

  def forward(self, x, masks=None):
    """Maps images [B, C, H, W] to images; see `Peer.step` for the masks."""
    skips = []
    for i, (conv, norm) in enumerate(self.down):
      x = norm(conv(F.leaky_relu(x, 0.2) if i > 0 else x))
      skips.append(x)
    x = skips.pop()
    for i, (deconv, norm) in enumerate(self.up):
      x = norm(deconv(F.relu(x)))
      if not skips:
        return torch.tanh(x)
      if i < 3:
        x = F.dropout(x, 0.5) if masks is None else 2.0 * masks[i] * x
      x = torch.cat([x, skips.pop()], dim=1)


# Each loss as a pair: of a logit that should be high, and of one that should be
# low.
LOSSES = {
  'non_saturating': (lambda x: F.softplus(-x), F.softplus),
  'least_squares': (lambda x: (x - 1.0) ** 2 / 2.0, lambda x: x**2 / 2.0),
}


class Peer(torch_common.Peer):
  """The system with its state; `step` trains it.

  Args:
    config: a pix2pix config with a loss in LOSSES, without label smoothing.
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
    loss = config.loss.adversarial
    if loss.name not in LOSSES or loss.get('label_smoothing'):
      raise ValueError(f'the peer has {" and ".join(LOSSES)} only, unsmoothed')
    self._to_one, self._to_zero = LOSSES[loss.name]
    torch_common.check_translation(config.model, 'unet', 'batch')
    shapes = {'a': spec.a_shape, 'b': spec.b_shape}
    self.domains = config.data.direction.split('2')
    source, target = (shapes[domain] for domain in self.domains)
    settings = config.model.generator
    players = {
      'generator': UNet(
        source[2],
        target[2],
        settings.width,
        count_levels(source[:2], settings.num_levels),
      ),
      'discriminator': torch_common.patch_discriminator(
        source[2] + target[2], config.model.discriminator
      ),
    }
    super().__init__(config, players, weights, variant)
    self._translate = self.compiled(players['generator'])
    self._d_loss = self.compiled(self.d_loss)
    self._g_loss = self.compiled(self.g_loss)

  def d_loss(self, given, real, fake):
    """Computes D's loss on real pairs and on pairs with G's image."""
    discriminator = self.players['discriminator']
    on_real = discriminator(torch.cat([given, real], dim=1))
    on_fake = discriminator(torch.cat([given, fake], dim=1))
    loss = self._to_one(on_real) + self._to_zero(on_fake)
    return self.config.loss.lambda_discriminator * loss.mean()

  def g_loss(self, given, real, fake):
    """Computes G's loss on the same pairs against the new D."""
    discriminator = self.players['discriminator']
    on_fake = discriminator(torch.cat([given, fake], dim=1))
    l1 = F.l1_loss(fake, real)
    loss = self.config.loss
    adversarial = self._to_one(on_fake).mean()
    return loss.lambda_adversarial * adversarial + loss.lambda_l1 * l1

  def step(
    self,
    batch: Mapping[str, Mapping[str, np.ndarray]],
    masks: Sequence[torch.Tensor] | None = None,
  ):
    """Takes a training step on a batch from our sampler; returns the losses.

    Args:
      batch: a batch of pairs.
      masks: dropout masks, 1 to keep or 0, [B, C, H, W] for each layer with
        dropout from the innermost; None to draw them.
    """
    given, real = (
      self.to_image(batch['pairs'][domain]) for domain in self.domains
    )
    fake = self._translate(given, masks)
    d_loss = self._d_loss(given, real, fake.detach())
    self.update('discriminator', self.gradients('discriminator', d_loss))
    g_loss = self._g_loss(given, real, fake)
    self.update('generator', self.gradients('generator', g_loss))
    return {'discriminator': d_loss, 'generator': g_loss}
