"""Data parallelism over devices and processes."""
