"""What some options of methods may be. The command line reads it, so nothing here may import torch."""

ROTATION_ACTIVATIONS = ("sigmoid", "none")
ROTATION_TASKS = ("query", "relative", "crop")
KEY_NORMS = ("batch", "ema", "shuffle")
MOMENTUM_SCHEDULES = ("constant", "cosine")
