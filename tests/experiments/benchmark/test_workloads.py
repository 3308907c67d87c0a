import jax
import pytest

from experiments.benchmark import workloads
from experiments.benchmark.workloads import make_program


@pytest.mark.parametrize(
  ('name', 'g_key', 'g_units', 'd_key', 'd_units'),
  [
    ('gan', 'hidden', 256, 'hidden', 256),
    ('dcgan', 'size_mult', 256, 'width', 128),
    ('improved_gan', 'hidden', (1000, 1000),
     'hidden', (2000, 1000, 500, 500, 500)),
    ('pix2pix', 'width', 128, 'width', 128),
    ('cyclegan', 'width', 128, 'width', 128),
  ],
)  # fmt: skip
def test_width_multiplies_every_layer(name, g_key, g_units, d_key, d_units):
  model = make_program(name, width=2).config.model
  assert model.generator[g_key] == g_units
  assert model.discriminator[d_key] == d_units


def test_the_sizes_of_the_image_to_image_systems():
  pix2pix = make_program('pix2pix')
  assert pix2pix.data.spec.a_shape == pix2pix.data.spec.b_shape == (128, 128, 3)
  assert pix2pix.system.translator.side_multiple == 128  # seven levels
  model = make_program('cyclegan').config.model
  assert model.generator.num_blocks == 6
  assert model.discriminator.patch_size == 70


@pytest.mark.parametrize('name', ['pix2pix', 'cyclegan'])
def test_images_of_two_domains_can_have_other_sizes(name):
  program = make_program(name, batch_size=2, image_size=32)
  batch = jax.tree.leaves(program.sampler()(0))
  assert [x.shape for x in batch] == [(2, 32, 32, 3)] * 2
  assert not (batch[0] == batch[1]).all()


def test_the_changes_of_a_config_are_made(monkeypatch):
  changed = workloads.WORKLOADS['gan']._replace(
    changes={'model.z_dim': 7, 'loss.n_critic': 2}
  )
  monkeypatch.setitem(workloads.WORKLOADS, 'gan', changed)
  config = make_program('gan').config
  assert (config.model.z_dim, config.loss.n_critic) == (7, 2)
