import pytest


@pytest.fixture(autouse=True)
def cheap(plain_convolutions):
  """These tests are about networks, not about how a convolution is done."""
