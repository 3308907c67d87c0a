"""Data sets of labelled images and of two domains, and their batches."""
