"""Our training steps timed beside the same steps written elsewhere."""
