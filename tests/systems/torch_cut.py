"""CUT in PyTorch, for small networks, following the authors' code.

It writes out their nn.Sequential, in which paddings, normalisations and
activations count as layers. Parameters are those of `gan_jax.systems.cut`, by
name, in float64.
"""

import jax
import torch
from torch.nn import functional

TAU = 0.07


def conv(x, p, **options):
  kernel = p['kernel'].permute(3, 2, 0, 1)
  return functional.conv2d(x, kernel, p['bias'], **options)


def down(x):
  """Applies the authors' Downsample: [1, 2, 1], reflected edges, stride 2."""
  taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
  kernel = torch.outer(taps, taps) / 16
  kernel = kernel.expand(x.shape[1], 1, 3, 3)
  x = functional.pad(x, (1, 1, 1, 1), mode='reflect')
  return functional.conv2d(x, kernel, stride=2, groups=x.shape[1])


def up(x):
  """Applies the authors' Upsample: [1, 3, 3, 1], replicated edges."""
  taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
  kernel = 4 * torch.outer(taps, taps) / 64
  kernel = kernel.expand(x.shape[1], 1, 4, 4)
  x = functional.pad(x, (1, 1, 1, 1), mode='replicate')
  x = functional.conv_transpose2d(
    x, kernel, stride=2, padding=2, groups=x.shape[1]
  )
  return x[:, :, 1:, 1:][:, :, :-1, :-1]


def reflect(x, pad):
  return functional.pad(x, (pad,) * 4, mode='reflect')


def generator(p, x):
  """Returns the outputs of all layers; the last one is the image."""
  outputs = []

  def add(x):
    outputs.append(x)
    return x

  def norm_and_relu(x):
    return add(functional.relu(add(functional.instance_norm(add(x)))))

  x = norm_and_relu(conv(add(reflect(x, 3)), p['first']))
  for name in ('down1', 'down2'):
    x = add(down(norm_and_relu(conv(x, p[name], padding=1))))
  num_blocks = sum(name.endswith('conv1') for name in p)
  for i in range(1, num_blocks + 1):
    y = functional.instance_norm(conv(reflect(x, 1), p[f'block{i}_conv1']))
    y = conv(reflect(functional.relu(y), 1), p[f'block{i}_conv2'])
    x = add(x + functional.instance_norm(y))
  for name in ('up1', 'up2'):
    x = norm_and_relu(conv(up(x), p[name], padding=1))
  add(torch.tanh(conv(reflect(x, 3), p['last'])))
  return outputs


def discriminator(p, x, num_strided):
  for i in range(1, num_strided + 2):
    x = conv(x, p[f'conv{i}'], padding=1)
    if i > 1:
      x = functional.instance_norm(x)
    x = functional.leaky_relu(x, 0.2)
    if i <= num_strided:
      x = down(x)
  return conv(x, p['logit'], padding=1)


def heads(p, patches):
  out = []
  for i, x in enumerate(patches, start=1):
    one, other = p[f'dense{i}_1'], p[f'dense{i}_2']
    x = functional.relu(x @ one['kernel'] + one['bias'])
    x = x @ other['kernel'] + other['bias']
    out.append(x / (x.pow(2).sum(-1, keepdim=True) + 1e-14).sqrt())
  return out


def patch_nce(q, k):
  """Computes the authors' PatchNCELoss: positive first, diagonal at -10."""
  k = k.detach()
  positive = (q * k).sum(-1, keepdim=True)
  negative = torch.bmm(q, k.transpose(1, 2))
  negative.masked_fill_(torch.eye(q.shape[1], dtype=torch.bool)[None], -10.0)
  logits = torch.cat([positive, negative], -1).flatten(0, 1) / TAU
  target = torch.zeros(len(logits), dtype=torch.long)
  return functional.cross_entropy(logits, target)


def sample(maps, places):
  return [
    x.flatten(2).transpose(1, 2)[torch.arange(len(x))[:, None], place]
    for x, place in zip(maps, map(torch.tensor, places), strict=True)
  ]


def losses(
  params, d_params, source, target, *, places, mirrored, layers, identity,
  lambda_nce, num_strided,
):  # fmt: skip
  """Returns the losses and the gradients of both players."""
  params, d_params = (
    jax.tree.map(lambda x: torch.tensor(x, requires_grad=True), tree)
    for tree in (params, d_params)
  )
  real_a, real_b = (
    torch.tensor(x).permute(0, 3, 1, 2) for x in (source, target)
  )
  real = torch.cat([real_a, real_b]) if identity else real_a

  def turned(x):
    if mirrored is None:
      return x
    turn = torch.tensor(mirrored)[:, None, None, None]
    return torch.where(turn, x.flip(3), x)

  def encode(x):
    outputs = generator(params['generator'], x)
    return [outputs[i] for i in layers]

  made = generator(params['generator'], turned(real))[-1]
  fake_b = made[: len(real_a)]

  def nce(src, tgt, rows):
    at = [place[rows] for place in places]
    q = heads(params['heads'], sample(map(turned, encode(tgt)), at))
    k = heads(params['heads'], sample(encode(src), at))
    return sum(map(patch_nce, q, k)) / len(layers)

  first, last = slice(len(real_a)), slice(len(real_a), None)
  value = nce(real_a, fake_b, first)
  both = value
  if identity:
    both = (value + nce(real_b, made[last], last)) / 2

  def judge(x):
    return discriminator(d_params, x, num_strided)

  def mse(x, goal):
    return functional.mse_loss(x, torch.full_like(x, goal))

  adversarial = mse(judge(fake_b), 1.0)
  loss = adversarial + lambda_nce * both
  d_loss = 0.5 * (mse(judge(fake_b.detach()), 0.0) + mse(judge(real_b), 1.0))

  def gradients(loss, tree):
    leaves, structure = jax.tree.flatten(tree)
    found = torch.autograd.grad(
      loss, leaves, retain_graph=True, materialize_grads=True
    )
    return jax.tree.unflatten(structure, [x.numpy() for x in found])

  return {
    'loss': loss.item(),
    'loss_adversarial': adversarial.item() / 2,  # ours has a factor of 1/2
    'nce': value.item(),
    'd_loss': d_loss.item(),
    'gradients': gradients(loss, params),
    'd_gradients': gradients(d_loss, d_params),
  }
