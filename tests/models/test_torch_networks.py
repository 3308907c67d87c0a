"""PyTorch, in float64, is a second oracle for the papers' networks.

They are written from the papers' descriptions with PyTorch's own layers;
weights are copied by name.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.models.conditional import ConcatenatedLabel
from gan_jax.models.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_jax.models.sngan import ResNetDiscriminator, ResNetImageGenerator
from gan_jax.penalties import r1_penalty

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from torch.nn import functional

WIDTHS, BLOCKS, GROUP, K, E = (8, 16, 16), (1, 2, 1), 4, 3, 6


def as_torch(tree):
  """Converts the leaves to tensors that require gradients."""
  return jax.tree.map(
    lambda x: torch.tensor(np.asarray(x), requires_grad=True), tree
  )


def channels_first(x):
  return x.permute(0, 3, 1, 2)


def conv(x, kernel, groups=1, padding=0):
  """Convolves images [B, C, H, W] with a kernel [h, w, C, D]."""
  return functional.conv2d(
    x, kernel.permute(3, 2, 0, 1), groups=groups, padding=padding
  )


def pointwise(x, dense):
  return conv(x, dense['kernel'][None, None])


def lowpass(channels):
  taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
  kernel = torch.outer(taps, taps)
  return (kernel / kernel.sum()).expand(channels, 1, 4, 4)


def up(x):
  kernel = 4 * lowpass(x.shape[1])
  return functional.conv_transpose2d(
    x, kernel, stride=2, padding=1, groups=x.shape[1]
  )


def down(x):
  return functional.conv2d(
    x, lowpass(x.shape[1]), stride=2, padding=1, groups=x.shape[1]
  )


def r3gan_block(x, p):
  def activate(x, bias):
    return functional.leaky_relu(x + bias[None, :, None, None], 0.2)

  y = activate(pointwise(x, p['expand']), p['bias1'])
  groups = y.shape[1] // GROUP
  y = activate(conv(y, p['kernel'], groups, padding=1), p['bias2'])
  return x + pointwise(y, p['project'])


def r3gan_generator(p, z, label):
  z = torch.cat([z, p['embedding']['kernel'][label]], dim=1)
  p = p['generator']
  x = (
    p['basis'].permute(2, 0, 1)[None]
    * (z @ p['latent']['kernel'])[:, :, None, None]
  )
  for stage, num in enumerate(BLOCKS):
    if stage:
      if f'transition{stage}' in p:
        x = pointwise(x, p[f'transition{stage}'])
      x = up(x)
    for i in range(num):
      x = r3gan_block(x, p[f'stage{stage}_block{i}'])
  return pointwise(x, p['image'])


def r3gan_discriminator(p, image, label):
  x = pointwise(image, p['image'])
  for stage, num in enumerate(BLOCKS):
    if stage:
      x = down(x)
      if f'transition{stage}' in p:
        x = pointwise(x, p[f'transition{stage}'])
    for i in range(num):
      x = r3gan_block(x, p[f'stage{stage}_block{i}'])
  basis = p['basis'].permute(2, 0, 1)[:, None]  # depthwise, 4x4, VALID
  x = functional.conv2d(x, basis, groups=x.shape[1]).flatten(1)
  x = x @ p['logit']['kernel']
  return (x * p['embedding']['kernel'][label]).sum(1)


def biased(x, p, padding):
  return conv(x, p['kernel'], padding=padding) + p['bias'][None, :, None, None]


def conditional_norm(x, p, label):
  x = functional.batch_norm(x, None, None, training=True, eps=1e-5)
  scale, bias = (p[k][label][:, :, None, None] for k in ('scale', 'bias'))
  return scale * x + bias


def resnet_generator(p, z, label):
  x = z @ p['dense']['kernel'] + p['dense']['bias']
  x = channels_first(x.reshape(len(z), 4, 4, -1))
  for i in (1, 2, 3):
    y = functional.relu(conditional_norm(x, p[f'block{i}_norm1'], label))
    y = functional.interpolate(y, scale_factor=2, mode='nearest')
    y = biased(y, p[f'block{i}_conv1'], 1)
    y = functional.relu(conditional_norm(y, p[f'block{i}_norm2'], label))
    y = biased(y, p[f'block{i}_conv2'], 1)
    x = functional.interpolate(x, scale_factor=2, mode='nearest')
    x = y + biased(x, p[f'block{i}_shortcut'], 0)
  x = functional.relu(conditional_norm(x, p['norm'], label))
  return torch.tanh(biased(x, p['image'], 1))


def resnet_discriminator(p, image, label):
  x = image
  for i in (1, 2, 3, 4):
    y = x if i == 1 else functional.relu(x)
    y = biased(y, p[f'block{i}_conv1'], 1)
    y = biased(functional.relu(y), p[f'block{i}_conv2'], 1)
    if i <= 2:
      y = functional.avg_pool2d(y, 2)
      x = functional.avg_pool2d(biased(x, p[f'block{i}_shortcut'], 0), 2)
    x = x + y
  x = functional.relu(x).sum((2, 3))
  logit = (x @ p['logit']['kernel'] + p['logit']['bias'])[:, 0]
  return logit + (x * p['embedding']['kernel'][label]).sum(1)


GENERATORS = {
  'r3gan': (
    ConcatenatedLabel(
      R3GANGenerator((16, 16, 3), WIDTHS[::-1], BLOCKS, GROUP), K, E
    ),
    r3gan_generator,
  ),
  'resnet': (
    ResNetImageGenerator((32, 32, 3), 4, num_classes=K), resnet_generator
  ),
}  # fmt: skip
DISCRIMINATORS = {
  'r3gan': (
    R3GANDiscriminator(WIDTHS, BLOCKS, GROUP, K, E), r3gan_discriminator, 16
  ),
  'resnet': (ResNetDiscriminator(4, 'none', K), resnet_discriminator, 32),
}  # fmt: skip
LABEL = np.array([0, 2, 1])


def moved(variables):
  """Moves weights, in float64, away from special values such as 0."""
  leaves, tree = jax.tree.flatten(variables)
  rng = np.random.default_rng(0)
  return tree.unflatten(
    [jnp.asarray(x + 0.1 * rng.normal(size=x.shape)) for x in leaves]
  )


def same(ours, theirs):
  """Compares each leaf of a pytree, relative to its largest number.

  Biases that BatchNorm cancels have gradients from rounding alone.
  """
  jax.tree.map(
    lambda a, b: assert_allclose(
      a, b, rtol=0, atol=1e-11 * abs(b).max() + 1e-12
    ),
    ours,
    theirs,
  )


@pytest.mark.parametrize('name', GENERATORS)
def test_the_generator(name):
  """Images, and the gradients of a function of them, agree."""
  module, peer = GENERATORS[name]
  rng = np.random.default_rng(1)
  with jax.enable_x64(True):
    z = rng.normal(size=(3, 5))
    variables = module.init(jax.random.key(0), z, LABEL, train=True)
    params = moved(variables['params'])
    rest = {k: v for k, v in variables.items() if k != 'params'}
    weight = rng.normal(size=(3, *module.apply(
      {'params': params, **rest}, z, LABEL, train=True, mutable=[*rest]
    )[0].shape[1:]))  # fmt: skip

    def total(params, z):
      image, _ = module.apply(
        {'params': params, **rest}, z, LABEL, train=True, mutable=[*rest]
      )
      return (weight * image).sum(), image

    gradients, image = jax.grad(total, argnums=(0, 1), has_aux=True)(params, z)
    p, z = as_torch(params), torch.tensor(z, requires_grad=True)
    theirs = peer(p, z, LABEL).permute(0, 2, 3, 1)
    (torch.tensor(weight) * theirs).sum().backward()
    same(image, theirs.detach().numpy())
    same(gradients, (jax.tree.map(lambda x: x.grad.numpy(), p), z.grad.numpy()))


@pytest.mark.parametrize('name', DISCRIMINATORS)
def test_the_discriminator(name):
  """Logits, their image gradient, and R1's parameter gradient agree."""
  module, peer, size = DISCRIMINATORS[name]
  with jax.enable_x64(True):
    image = np.random.default_rng(2).normal(size=(3, size, size, 3))
    variables = module.init(jax.random.key(0), image, LABEL, train=True)
    params = moved(variables['params'])

    def d_fn(params):
      return lambda x: module.apply({'params': params}, x, LABEL, train=True)

    def r1(params):
      return r1_penalty(d_fn(params), image).mean()

    ours = (
      d_fn(params)(image),
      jax.grad(lambda x: d_fn(params)(x).sum())(image),
      jax.jit(jax.grad(r1))(params),
    )
    p, x = as_torch(params), torch.tensor(image, requires_grad=True)
    logits = peer(p, channels_first(x), LABEL)
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    (0.5 * slope.square().sum((1, 2, 3))).mean().backward()
    # A constant added to every logit does not change the input gradient.
    by_params = jax.tree.map(
      lambda x: np.zeros(x.shape) if x.grad is None else x.grad.numpy(), p
    )
    same(ours[0], logits.detach().numpy())
    same(ours[1], slope.detach().numpy())
    jax.tree.map(
      lambda a, b: assert_allclose(a, b, rtol=0, atol=1e-10), ours[2], by_params
    )
    largest = max(abs(x).max() for x in jax.tree.leaves(by_params))
    assert largest > 1e-3
