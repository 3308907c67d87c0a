"""What a training step needs on TPUs, from their compiler."""
