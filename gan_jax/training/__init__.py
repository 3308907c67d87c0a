"""Training: the state, its update, checkpoints, the loop and its proof."""
