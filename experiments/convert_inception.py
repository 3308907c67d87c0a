"""Converts InceptionV3's PyTorch weights to a file that needs no PyTorch.

Only this command needs torch (pip install torch). The usual file for FID is
pt_inception-2015-12-05-6726825d.pth, from release fid_weights of the public
project mseitzer/pytorch-fid; torchvision's inception_v3 is read too.

python -m experiments.convert_inception --output=inception.npz \\
  --input=pt_inception-2015-12-05-6726825d.pth
"""

from gan_jax.commands import cli

_INPUT = cli.define_path('input', None, 'The .pth file.', required=True)
_OUTPUT = cli.define_path(
  'output', None, 'The .npz file to write.', required=True
)


def main():
  import jax

  from gan_jax.evaluation import inception_weights

  weights = inception_weights.convert(_INPUT.value, _OUTPUT.value)
  params = jax.tree.leaves(weights.variables['params'])
  print(f'variant: {weights.variant}')
  print(f'parameters: {sum(x.size for x in params):,}')
  print(f'sha256: {weights.sha256}')


if __name__ == '__main__':
  cli.run(main)
