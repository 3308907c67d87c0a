"""Sweeps: plans, execution and result tables of many runs."""
