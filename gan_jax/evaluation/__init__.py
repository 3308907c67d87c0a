"""Evaluation of trained networks."""
