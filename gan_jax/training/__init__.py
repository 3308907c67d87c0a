"""Training: the loop, resuming, fine-tuning, and verification of runs."""
