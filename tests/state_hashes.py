"""Prints the sha256 of the state after every smoke run, on random data.

A change that is to leave all numbers as they are leaves these as they are, on
one machine: python -m tests.state_hashes, before and after it.
"""

import os
import sys
import tempfile

os.environ.setdefault('XLA_FLAGS', '')  # as users compile, not as fast tests

from gan_jax.config import load_config
from gan_jax.training import loop
from tests import made_up
from tests.conftest import ROOT  # before jax: it sets the compile cache


def main(names: list[str]) -> None:
  for path in sorted((ROOT / 'configs').glob('*.py')):
    if names and path.stem not in names:
      continue
    config = load_config(f'{path}:smoke')
    config.parallel, config.log.tensorboard = 'jit', False
    with tempfile.TemporaryDirectory() as folder:
      result = loop.train(config, folder, dataset=made_up.for_config(config))
    print(path.stem, result['sha256']['state'], file=sys.stderr)


if __name__ == '__main__':
  main(sys.argv[1:])
