"""Evaluation: samples, metrics of generated images, classification error."""
