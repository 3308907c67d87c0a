"""What a run leaves to look at: metrics, TensorBoard events, image grids."""
