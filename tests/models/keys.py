"""Keys of the networks' tests."""

import jax

# For parameters and data: hardware bits compile in a seventh of the time that
# threefry takes for the parameters of a small network.
KEY = jax.random.key(0, impl='unsafe_rbg')
# For noise, each row of which must have a key of its own.
NOISE_KEY = jax.random.key(0)
