"""Trained networks: architectures, training, checkpoints and their records, external networks."""
