import pytest


@pytest.fixture(autouse=True)
def cheap(plain_convolutions):
  """Uses plain convolutions: these tests are about networks, not lowerings."""
