"""Training: the loop, its sessions, and the proof that it can be repeated."""
