"""R3GAN's networks in plain PyTorch, and SNGAN's for 32x32 pixels.

Layers have the same names as ours, so that weights can be copied by name.
"""

import torch
import torch.nn.functional as F  # noqa: N812, PyTorch's convention
from torch import nn


class Pointwise(nn.Linear):
  """A linear map of the channels of images [B, C, H, W]."""

  def forward(self, x):
    return F.conv2d(x, self.weight[..., None, None], self.bias)


class R3GANBlock(nn.Module):
  """Mirrors `gan_jax.models.r3gan.ResidualBlock`."""

  def __init__(self, channels, group_width):
    super().__init__()
    wide = 2 * channels
    self.expand = Pointwise(channels, wide, bias=False)
    self.weight = nn.Parameter(torch.empty(wide, group_width, 3, 3))
    self.bias1 = nn.Parameter(torch.empty(wide))
    self.bias2 = nn.Parameter(torch.empty(wide))
    self.project = Pointwise(wide, channels, bias=False)
    self.groups = wide // group_width

  def forward(self, x):
    weight = self.expand.weight[..., None, None]
    y = F.leaky_relu(F.conv2d(x, weight, self.bias1), 0.2)
    y = F.conv2d(y, self.weight, self.bias2, padding=1, groups=self.groups)
    return x + self.project(F.leaky_relu(y, 0.2))


class _Stages(nn.Module):
  """Stages of R3GAN's blocks, with the transitions between them."""

  def __init__(self, widths, blocks, group_width):
    super().__init__()
    self.order = []  # (stage, transition or None, its blocks)
    before = widths[0]
    for stage, (width, num) in enumerate(zip(widths, blocks, strict=True)):
      transition = None
      if width != before:
        transition = Pointwise(before, width, bias=False)
        self.add_module(f'transition{stage}', transition)
      made = [R3GANBlock(width, group_width) for _ in range(num)]
      for i, block in enumerate(made):
        self.add_module(f'stage{stage}_block{i}', block)
      self.order.append((transition, made))
      before = width
    # The filter [1, 2, 1] in both directions, for a map twice as large.
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    self.register_buffer('taps', torch.outer(taps, taps) / 64.0, False)

  def _filter(self, x):
    return self.taps.expand(x.shape[1], 1, 4, 4)


class R3GANGenerator(_Stages):
  """Mirrors `gan_jax.models.r3gan.R3GANGenerator`."""

  def __init__(self, image_shape, z_dim, widths, blocks, group_width):
    super().__init__(widths, blocks, group_width)
    self.latent = nn.Linear(z_dim, widths[0], bias=False)
    self.basis = nn.Parameter(torch.empty(widths[0], 4, 4))
    self.image = Pointwise(widths[-1], image_shape[-1], bias=False)

  def forward(self, z):
    x = self.basis * self.latent(z)[:, :, None, None]
    for stage, (transition, blocks) in enumerate(self.order):
      if transition is not None:
        x = transition(x)
      if stage:
        weight = 4.0 * self._filter(x)
        x = F.conv_transpose2d(
          x, weight, stride=2, padding=1, groups=x.shape[1]
        )
      for block in blocks:
        x = block(x)
    return self.image(x)


class R3GANDiscriminator(_Stages):
  """Mirrors `gan_jax.models.r3gan.R3GANDiscriminator`, without classes."""

  def __init__(self, image_shape, widths, blocks, group_width):
    super().__init__(widths, blocks, group_width)
    self.image = Pointwise(image_shape[-1], widths[0], bias=False)
    self.basis = nn.Parameter(torch.empty(widths[-1], 4, 4))
    self.logit = nn.Linear(widths[-1], 1, bias=False)

  def forward(self, x):
    """Maps images [B, C, H, W] to logits [B, 1]."""
    x = self.image(x)
    for stage, (transition, blocks) in enumerate(self.order):
      if stage:
        x = F.conv2d(x, self._filter(x), stride=2, padding=1, groups=x.shape[1])
      if transition is not None:
        x = transition(x)
      for block in blocks:
        x = block(x)
    x = F.conv2d(x, self.basis[:, None], groups=x.shape[1]).flatten(1)
    return self.logit(x)


class ResNetImageGenerator(nn.Module):
  """Mirrors `gan_jax.models.sngan.ResNetImageGenerator` at 32x32 pixels."""

  def __init__(self, image_shape, z_dim, width):
    super().__init__()
    self.dense = nn.Linear(z_dim, 16 * width)
    self.width = width
    for i in (1, 2, 3):
      for name, size in (('conv1', 3), ('conv2', 3), ('shortcut', 1)):
        conv = nn.Conv2d(width, width, size, padding=size // 2)
        self.add_module(f'block{i}_{name}', conv)
      for j in (1, 2):
        norm = nn.BatchNorm2d(width, momentum=0.01)
        self.add_module(f'block{i}_norm{j}', norm)
    self.norm = nn.BatchNorm2d(width, momentum=0.01)
    self.image = nn.Conv2d(width, image_shape[-1], 3, padding=1)

  def forward(self, z):
    x = self.dense(z).unflatten(1, (4, 4, self.width)).permute(0, 3, 1, 2)
    layers = dict(self.named_children())
    for i in (1, 2, 3):
      conv1, conv2, shortcut, norm1, norm2 = (
        layers[f'block{i}_{name}']
        for name in ('conv1', 'conv2', 'shortcut', 'norm1', 'norm2')
      )
      y = F.interpolate(F.relu(norm1(x)), scale_factor=2)
      y = conv2(F.relu(norm2(conv1(y))))
      x = y + F.interpolate(shortcut(x), scale_factor=2)
    return torch.tanh(self.image(F.relu(self.norm(x))))


class ResNetDiscriminator(nn.Module):
  """Mirrors `gan_jax.models.sngan.ResNetDiscriminator` at 32x32 pixels.

  Spectral normalisation takes one power iteration in each pass; `advance`
  stores the last result, as ours does once per step.
  """

  def __init__(self, image_shape, width, normalization):
    super().__init__()
    self.spectral = normalization == 'spectral'
    channels = image_shape[-1]
    for i in (1, 2, 3, 4):
      self.add_module(f'block{i}_conv1', nn.Conv2d(channels, width, 3))
      self.add_module(f'block{i}_conv2', nn.Conv2d(width, width, 3))
      if i <= 2:
        self.add_module(f'block{i}_shortcut', nn.Conv2d(channels, width, 1))
      channels = width
    self.logit = nn.Linear(width, 1)
    self.u, self.found = {}, {}

  def _weight(self, name, layer):
    weight = layer.weight
    if not self.spectral:
      return weight
    matrix = weight.flatten(1)
    with torch.no_grad():
      v = F.normalize(self.u[name] @ matrix, dim=0, eps=1e-12)
      u = F.normalize(matrix @ v, dim=0, eps=1e-12)
    self.found[name] = u
    return weight / (u @ matrix @ v)

  def advance(self):
    self.u = dict(self.found)

  def forward(self, x):
    """Maps images [B, C, H, W] to logits [B, 1]."""
    layers = dict(self.named_children())

    def apply(name, x):
      layer = layers[name]
      weight = self._weight(name, layer)
      if name == 'logit':
        return F.linear(x, weight, layer.bias)
      return F.conv2d(x, weight, layer.bias, padding=weight.shape[-1] // 2)

    for i in (1, 2, 3, 4):
      y = apply(f'block{i}_conv1', x if i == 1 else F.relu(x))
      y = apply(f'block{i}_conv2', F.relu(y))
      if i <= 2:
        y = F.avg_pool2d(y, 2)
        x = apply(f'block{i}_shortcut', F.avg_pool2d(x, 2))
      x = x + y
    return apply('logit', F.relu(x).sum((2, 3)))
