"""Ahead-of-time analysis of a training step on TPUs."""
