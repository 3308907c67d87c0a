"""Use of a trained network: translating images, exporting it."""
