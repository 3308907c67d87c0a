"""Semi-supervised GAN in plain PyTorch: a peer to time and an oracle.

It has the networks, losses, optimisers and order of play of
`gan_jax.systems.ssgan`, in idiomatic PyTorch: one forward pass of each network
serves both players' gradients.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn

from experiments.benchmark import torch_common
from gan_jax.data.spec import DataSpec
from gan_jax.systems.state import Weights


class Classifier(nn.Module):
  """Mirrors `gan_jax.models.classifier.ConvClassifier`."""

  def __init__(self, num_logits, channels, width, strides, dropout_rate):
    super().__init__()
    self.dropout_rate = dropout_rate
    self.layers = []
    for i in range(1, 8):
      features = width if i <= 3 else 2 * width
      stride = strides[i - 1] if i <= 3 else 1
      conv = nn.Conv2d(channels, features, 3, stride, padding=int(i < 7))
      self.add_module(f'conv{i}', conv)
      norm = None
      if 1 < i < 7:
        norm = nn.BatchNorm2d(features, momentum=0.01)
        self.add_module(f'norm{i}', norm)
      self.layers.append((conv, norm, dropout_rate if i in (1, 3, 6) else 0.0))
      channels = features
    self.class_logits = nn.Linear(channels, num_logits)

  def forward(self, x):
    """Maps images [B, C, H, W] to (class logits, features)."""
    x = F.dropout(x, self.dropout_rate / 2.5)
    for conv, norm, rate in self.layers:
      x = conv(x)
      if norm is not None:
        x = norm(x)
      x = F.leaky_relu(x, 0.2)
      if rate:
        x = F.dropout(x, rate)
    features = x.mean(dim=(2, 3))
    return self.class_logits(features), features


class Peer(torch_common.Peer):
  """The system with its state; `step` trains it.

  Args:
    config: a semi-supervised GAN's config, with simultaneous play.
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
    model = config.model
    if config.loss.play != 'simultaneous':
      raise ValueError('the peer plays simultaneously only')
    self.num_classes = spec.num_classes
    generator = torch_common.DeconvGenerator(
      spec.image_shape, model.z_dim, **model.generator
    )
    discriminator = Classifier(
      spec.num_classes + int(model.extra_class),
      spec.image_shape[2],
      **model.discriminator,
    )
    players = {'generator': generator, 'discriminator': discriminator}
    super().__init__(config, players, weights, variant)
    self._losses = self.compiled(self.losses)

  def losses(self, real, label, label_mask, z):
    """Computes both players' losses on images in [-1, 1]."""
    generator, discriminator = self.players.values()
    on_real, real_features = discriminator(real)
    on_fake, fake_features = discriminator(generator(z))
    k = self.num_classes
    cross_entropy = F.cross_entropy(
      on_real[:, :k], label.clamp(min=0), reduction='none'
    )
    supervised = (cross_entropy * label_mask).sum() / label_mask.sum().clamp(1)

    def gan_logits(logits):
      fake_logit = logits[:, k] if self.config.model.extra_class else 0.0
      return logits[:, :k].logsumexp(1) - fake_logit

    s = self.config.loss.label_smoothing
    x = gan_logits(on_real)
    real_fake = ((1 - s) * F.softplus(-x) + s * F.softplus(x)).mean()
    real_fake = real_fake + F.softplus(gan_logits(on_fake)).mean()
    difference = real_features.mean(0) - fake_features.mean(0)
    squared = self.config.loss.feature_matching == 'squared'
    matching = (difference.square() if squared else difference.abs()).mean()
    return supervised + real_fake, matching

  def step(self, batch: Mapping[str, Mapping[str, np.ndarray]], z=None):
    """Takes a training step on a batch from our sampler; returns the losses."""
    rows = batch['train']
    real = self.to_image(rows['image'])
    label = torch.from_numpy(rows['label']).long()
    mask = torch.from_numpy(rows['label_mask'])
    if z is None:
      z = torch.randn(len(real), self.config.model.z_dim)
    d_loss, g_loss = self._losses(real, label, mask, z)
    losses = {'discriminator': d_loss, 'generator': g_loss}
    d_gradients = self.gradients('discriminator', d_loss, retain_graph=True)
    g_gradients = self.gradients('generator', g_loss)
    self.update('discriminator', d_gradients)
    self.update('generator', g_gradients)
    return losses
