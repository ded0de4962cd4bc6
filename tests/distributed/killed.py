"""``dermssl`` of which one process kills itself, for torchrun: python killed.py STEP[,STEP...] dermssl-arguments.

Rank 1 gets SIGKILL in the first STEP, after torchrun has restarted it in the second, and so on.
"""

import os
import signal
import sys

from dermssl.cli import main
from dermssl.pretraining import run
from dermssl.pretraining.trainer import Trainer

steps = [int(step) for step in sys.argv.pop(1).split(",")]
restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
plain_step = Trainer._train_step


def step(trainer, *batch):
    if os.environ["RANK"] == "1" and restarts < len(steps) and trainer.step + 1 == steps[restarts]:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain_step(trainer, *batch)


Trainer._train_step = step
run.CHECKPOINT_EVERY = 0.0
main()
