"""Runs a function on several gloo ranks of this machine; what the functions of ``jobs.py`` are called by.

The ranks are forked by a server that has imported torch once: a rank starts in a tenth of a second. pytest itself is
not forked, for it may have threads.
"""

import contextlib
import functools
import multiprocessing
import os
import queue as queues
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT = 100
ATTEMPTS = 3
UNCONNECTED = "connectFullMesh failed"  # gloo's, now and then, before a rank has done anything
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "dermssl.pretraining.run", "dermssl.methods.registry"])


def on_ranks(ranks: int, job: Callable[..., Any], folder: Path, *args: Any, **options: Any) -> list[Any]:
    """What ``job(*args, **options)`` returns on each of ``ranks`` processes; None where the process was killed.

    Args:
        folder: a fresh one, where the ranks find each other.
    """
    folder.mkdir(parents=True)
    work = functools.partial(job, *args, **options)
    for attempt in range(ATTEMPTS):
        results = _attempt(ranks, work, folder / f"store{attempt}")
        if not any(isinstance(result, RuntimeError) and UNCONNECTED in str(result) for result in results):
            break
    return results


def _attempt(ranks: int, work: Callable[[], Any], store: Path) -> list[Any]:
    answers = FORKS.Queue()
    processes = [FORKS.Process(target=_run, args=(rank, ranks, store, work, answers)) for rank in range(ranks)]
    for process in processes:
        process.start()
    results: dict[int, Any] = {}
    deadline = time.monotonic() + TIMEOUT
    try:
        while len(results) < ranks:
            with contextlib.suppress(queues.Empty):
                rank, result = answers.get(timeout=0.1)
                results[rank] = result
            lost = {rank: None for rank, process in enumerate(processes) if process.exitcode not in (None, 0)}
            results = {**lost, **results}
            assert time.monotonic() < deadline, f"only ranks {sorted(results)} of {ranks} answered in {TIMEOUT} s"
    finally:
        for process in processes:
            process.join(5)
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started itself
    return [results[rank] for rank in range(ranks)]


def _run(rank: int, ranks: int, store: Path, work: Callable[[], Any], answers: Any) -> None:
    import torch
    import torch.distributed as dist

    os.setpgrp()
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        if ranks > 1:
            dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
        answers.put((rank, work()))
    except Exception as error:
        traceback.print_exc()
        answers.put((rank, error))
    if ranks > 1:
        dist.destroy_process_group()
