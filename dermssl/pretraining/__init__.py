"""Pretraining: run directory, training loop, checkpoints."""
