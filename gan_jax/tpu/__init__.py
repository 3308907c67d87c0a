"""Needs of a training step on TPUs, from their compiler."""
