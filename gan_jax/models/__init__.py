"""Networks as Flax modules."""
