"""Run directories: what is in one, and how it is opened."""
