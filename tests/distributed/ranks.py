"""Runs a function on several gloo ranks of this machine; what the functions of ``jobs.py`` are called by.

The ranks are forked by a server that has imported torch once: a rank starts in a tenth of a second. pytest itself is
not forked, for it may have threads.
"""

import multiprocessing
import os
import queue as queues
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "dermssl.pretraining.run", "dermssl.methods.registry"])


def on_ranks(ranks: int, job: Callable[..., Any], folder: Path, *args: Any, timeout: float = 100) -> list[Any]:
    """What ``job(*args)`` returns on each of ``ranks`` processes, an exception where it raised one.

    Args:
        folder: a fresh one, where the ranks find each other.
    """
    folder.mkdir(parents=True)
    answers = FORKS.Queue()
    processes = [
        FORKS.Process(target=_run, args=(rank, ranks, folder / "store", job, args, answers)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    results: dict[int, Any] = {}
    try:
        while len(results) < ranks:
            rank, result = answers.get(timeout=timeout)
            results[rank] = result
    except queues.Empty:
        raise AssertionError(f"only ranks {sorted(results)} of {ranks} answered within {timeout} s") from None
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    return [results[rank] for rank in range(ranks)]


def _run(rank: int, ranks: int, store: Path, job: Callable[..., Any], args: tuple, answers: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        if ranks > 1:
            dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
        answers.put((rank, job(*args)))
    except Exception as error:
        traceback.print_exc()
        answers.put((rank, error))
    if ranks > 1:
        dist.destroy_process_group()
