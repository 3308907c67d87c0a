"""The semi-supervised GAN in plain PyTorch: a peer to time and an oracle.

The same networks, losses, optimisers and order of play as
`gan_jax.systems.ssgan`, written as a PyTorch user would: one forward pass of
each network, from which both players' gradients are taken.

XLA's SAME padding puts the odd pixel after the image and PyTorch's symmetric
padding of a strided convolution in effect before it, so the peer sees
everything mirrored: flipped images and kernels give exactly the same products.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, as all of PyTorch's users say it
from torch import nn

from gan_jax.data.spec import DataSpec


class Generator(nn.Module):
  """As `gan_jax.models.dcgan.DeconvGenerator`."""

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
    """Z [B, z_dim] to images [B, C, H, W]."""
    x = self.dense(z).view(len(z), -1, self.base_size, self.base_size)
    x = F.leaky_relu(self.norm0(x), 0.2)
    for deconv, norm in self.layers:
      x = deconv(x)
      if norm is not None:
        x = F.leaky_relu(norm(x), 0.2)
    return torch.tanh(x)


class Classifier(nn.Module):
  """As `gan_jax.models.classifier.ConvClassifier`."""

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
    """Images [B, C, H, W] to (class logits, features)."""
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


class Peer:
  """The system with its state; `step` trains it.

  Args:
    config: of a semi-supervised GAN with simultaneous play.
    spec: of the data.
    params: our parameters, {'generator': ..., 'discriminator': ...}.
    variant: 'eager', 'channels_last' or 'compile'.
  """

  def __init__(
    self, config: Any, spec: DataSpec, params: Mapping, variant: str = 'eager'
  ):
    model = config.model
    if config.loss.play != 'simultaneous':
      raise ValueError('the peer plays simultaneously only')
    self.config, self.num_classes = config, spec.num_classes
    self.base_size = model.generator.base_size
    self.generator = Generator(spec.image_shape, model.z_dim, **model.generator)
    self.discriminator = Classifier(
      spec.num_classes + int(model.extra_class),
      spec.image_shape[2],
      **model.discriminator,
    )
    self.players = {
      'generator': self.generator,
      'discriminator': self.discriminator,
    }
    self.format = torch.contiguous_format
    if variant == 'channels_last':
      self.format = torch.channels_last
    self.optimizers = {}
    for name, network in self.players.items():
      network.load_state_dict(
        {k: torch.tensor(v) for k, v in self.to_torch(params[name]).items()},
        strict=False,  # BatchNorm's running statistics start as they are
      )
      network.to(memory_format=self.format)
      settings = config.optimizer[name]
      self.optimizers[name] = (
        torch.optim.Adam(
          network.parameters(),
          settings.learning_rate,
          (settings.b1, settings.b2),
          settings.eps,
          fused=True,
        )
        if settings.name == 'adam'
        else torch.optim.SGD(network.parameters(), settings.learning_rate)
      )
    self._losses = (
      torch.compile(self.losses) if variant == 'compile' else (self.losses)
    )

  def losses(self, image, label, label_mask, z):
    """Both players' losses on uint8 images [B, H, W, C]."""
    real = image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
    real = real.flip(2, 3).contiguous(memory_format=self.format)
    on_real, real_features = self.discriminator(real)
    on_fake, fake_features = self.discriminator(self.generator(z))
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

  def gradients(self, image, label, label_mask, z):
    """Losses and gradients of both players, by player and parameter."""
    d_loss, g_loss = self._losses(image, label, label_mask, z)
    d_params = dict(self.discriminator.named_parameters())
    g_params = dict(self.generator.named_parameters())
    d_grads = torch.autograd.grad(d_loss, d_params.values(), retain_graph=True)
    g_grads = torch.autograd.grad(g_loss, g_params.values())
    return {'discriminator': d_loss, 'generator': g_loss}, {
      'discriminator': dict(zip(d_params, d_grads, strict=True)),
      'generator': dict(zip(g_params, g_grads, strict=True)),
    }

  def step(self, batch: Mapping[str, Mapping[str, np.ndarray]], z=None):
    """One training step on a batch as our sampler makes it; the losses."""
    rows = batch['train']
    image = torch.from_numpy(rows['image'])
    label = torch.from_numpy(rows['label']).long()
    mask = torch.from_numpy(rows['label_mask'])
    if z is None:
      z = torch.randn(len(image), self.config.model.z_dim)
    losses, gradients = self.gradients(image, label, mask, z)
    for name, network in self.players.items():
      for key, p in network.named_parameters():
        p.grad = gradients[name][key]
      self.optimizers[name].step()
    return losses

  def to_torch(self, params: Mapping) -> dict[str, np.ndarray]:
    """One network's parameters, or gradients, from flax's names and shapes."""
    return {
      _torch_name(layer, key): self._convert(layer, np.asarray(value))
      for layer, group in params.items()
      for key, value in group.get('norm', group).items()
    }

  def _convert(self, layer: str, value: np.ndarray) -> np.ndarray:
    if layer == 'dense':  # to a map: its pixels are mirrored and come last
      size = self.base_size
      value = value.reshape(-1, size, size, value.shape[-1] // size**2)
      value = value[:, ::-1, ::-1].transpose(3, 1, 2, 0)
      value = value.reshape(-1, value.shape[-1])
      return (value[:, 0] if value.shape[1] == 1 else value).copy()
    if value.ndim == 4 and layer.startswith('deconv'):
      return value.transpose(2, 3, 0, 1).copy()
    if value.ndim == 4:
      return value[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    return value.T.copy()


def _torch_name(layer: str, key: str) -> str:
  return f'{layer}.{"bias" if key == "bias" else "weight"}'
