"""Data sets that are drawn at random, from nothing or from other images."""
