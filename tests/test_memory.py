"""Large buffers are used again instead of being mapped anew."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from dermssl.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
import torch
def step():
    torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    """Page faults of four steps that need 64 MB each, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], check=True, capture_output=True, text=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back like this")
def test_freed_memory_is_kept():
    assert faults(keep=True) < faults(keep=False) / 10
