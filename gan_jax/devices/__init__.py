"""Devices and processes: how a step is spread over them."""
