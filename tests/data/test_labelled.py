import pytest

from gan_jax.data.labelled import LabelledData
from tests import toy


@pytest.mark.parametrize(
  ('batch_size', 'steps'), [(6, 5), (15, 2), (16, 1), (30, 1)]
)
def test_an_epoch_has_the_whole_batches_of_its_images(
  tiny_dataset, batch_size, steps
):
  config = toy.get_config().data
  config.batch_size, config.num_labels = batch_size, None
  data = LabelledData(config, tiny_dataset)
  assert data.num_train == 30
  assert data.spec.steps_per_epoch == steps
