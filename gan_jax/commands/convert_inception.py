"""Converts InceptionV3's PyTorch weights to a file that needs no PyTorch.

Only this command needs torch (pip install torch). The usual file for FID is
pt_inception-2015-12-05-6726825d.pth, from the release fid_weights of the public
project mseitzer/pytorch-fid; torchvision's inception_v3 can be read as well.

gan-jax convert_inception --output=inception.npz \\
  --input=pt_inception-2015-12-05-6726825d.pth
"""

from collections.abc import Sequence

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax convert_inception', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'input', 'The .pth file to read.', required=True)
  cli.define_path(values, 'output', 'The .npz file to write.', required=True)


def run(values: cli.Flags) -> int | None:
  import jax

  from gan_jax.evaluation import inception_weights

  weights = inception_weights.convert(values.input, values.output)
  params = jax.tree.leaves(weights.variables['params'])
  print(f'variant: {weights.variant}')
  print(f'parameters: {sum(x.size for x in params):,}')
  print(f'sha256: {weights.sha256}')
