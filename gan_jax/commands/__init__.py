"""The commands of gan-jax, one per file."""
