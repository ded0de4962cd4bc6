"""Large buffers are used again instead of being mapped anew."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # a process each

# Page faults would tell what is gained, but their number follows the huge pages that the system has to give.
KEPT = """
import resource
from dermssl.malloc import keep_freed_memory
if {keep}:
    keep_freed_memory()
import torch
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
torch.zeros(1)
before = resident()
for _ in range(2):
    torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
print(resident() - before)
"""


def kept(keep: bool) -> int:
    """Bytes that a process of its own still holds of a buffer of 64 MB that was freed."""
    run = subprocess.run([sys.executable, "-c", KEPT.format(keep=keep)], check=True, capture_output=True, text=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back like this")
def test_freed_memory_is_kept():
    assert kept(keep=True) > 50 * 2**20
    assert kept(keep=False) < 14 * 2**20
