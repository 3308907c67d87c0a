"""Random keys for the networks' tests."""

import jax

# For parameters and data: for a small network's parameters, unsafe_rbg compiles
# in a seventh of the time that threefry takes.
KEY = jax.random.key(0, impl='unsafe_rbg')
# For noise, in which each row needs its own key.
NOISE_KEY = jax.random.key(0)
