import pytest

from gan_jax.benchmark.workloads import make_program


@pytest.mark.parametrize(
  ('name', 'g_key', 'g_units', 'd_key', 'd_units'),
  [
    ('gan', 'hidden', 256, 'hidden', 256),
    ('dcgan', 'size_mult', 256, 'width', 128),
    ('improved_gan', 'hidden', (1000, 1000),
     'hidden', (2000, 1000, 500, 500, 500)),
  ],
)  # fmt: skip
def test_width_multiplies_every_layer(name, g_key, g_units, d_key, d_units):
  model = make_program(name, width=2).config.model
  assert model.generator[g_key] == g_units
  assert model.discriminator[d_key] == d_units
