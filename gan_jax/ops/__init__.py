"""Array operations below the level of a network layer."""
