"""Data: labelled images, images of two domains, and their batches."""
