"""What one does with a trained network: translate images, export it."""
