"""gan_jax: generative adversarial networks as pure functions in JAX.

Importing the package imports nothing else: take what you need from
`gan_jax.losses`, `gan_jax.systems`, `gan_jax.training` and so on.
"""

__version__ = '0.2.0.dev0'
