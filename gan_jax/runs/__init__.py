"""Run directories: their files, and how to open them."""
