"""A full disk, on a small tmpfs, and the memory of a long run."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import commands
from tests.soak.scenes import PRETRAIN, SCENES, Scene, content, leftovers, torn

ROOM = 16 * 2**20  # bytes of the file system: three checkpoints are 9 MB
FREE = (0, 8192, 65_536, 262_144, 1_048_576)  # bytes left on it when a command starts


def fill_disks(given: Path, folder: Path, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """Run each scene with little room, make room, and run it again: one error, then the unbroken result.

    Returns:
        ``tried``, ``full`` (how many did run out of room) and the faults; or ``skipped``, why.
    """
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "soak", disk]).returncode:
        return {"skipped": "mounting a tmpfs needs root"}
    tried = full = 0
    faults: list[dict[str, Any]] = []
    try:
        wholes = {scene.name: _whole(scene, given, folder) for scene in SCENES}
        for free in FREE:
            for scene in SCENES:
                if not goes_on():
                    break
                expected = wholes[scene.name]
                own = disk / "own"
                shutil.rmtree(own, ignore_errors=True)
                own.mkdir()
                there = os.statvfs(disk)
                (disk / "ballast").write_bytes(bytes(max(0, there.f_bavail * there.f_bsize - free)))
                ended = commands.run(*scene.words(given, own), log=folder / "log.txt")
                broken = torn(own)
                (disk / "ballast").unlink()
                again = commands.run(*scene.words(given, own), log=folder / "log.txt")
                tried, full = tried + 1, full + bool(ended.status)
                texts = []
                if ended.hung or ended.has_traceback:
                    texts.append("hang" if ended.hung else "traceback")
                elif ended.status and (
                    not any(word in ended.said for word in ("No space", "no room", "are free"))
                    or str(disk) not in ended.said
                ):
                    texts.append("the error does not say that the disk is full, and where")
                if broken:
                    texts.append(f"half-written: {broken}")
                if again.status:
                    texts.append(f"does not go on: {again.error}")
                elif content(own / scene.makes, scene.exact) != expected:
                    texts.append("another result than unbroken")
                elif leftovers(own):
                    texts.append(f"leftovers: {leftovers(own)}")
                said = ended.said[-800:]
                faults += [{"command": scene.name, "free": free, "what": what, "said": said} for what in texts]
    finally:
        subprocess.run(["umount", disk], check=False)
    return {"tried": tried, "full": full, "faults": faults}


def _whole(scene: Scene, given: Path, folder: Path) -> dict[str, Any]:
    """What a scene makes where there is room."""
    whole = folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    commands.run(*scene.words(given, whole), log=folder / "log.txt")
    return content(whole / scene.makes, scene.exact)


def watch_memory(given: Path, folder: Path, epochs: int) -> dict[str, Any]:
    """Resident memory of a run of ``epochs`` epochs, in MiB: after the first fifth, and at its end."""
    run = folder / "long"
    words = ("pretrain", given / "cache", "--output", run, "--epochs", str(epochs), *PRETRAIN)
    child = commands.start(*words, log=folder / "log.txt")
    samples: list[tuple[int, int]] = []
    status = None
    while status is None and len(samples) < 20_000:
        status = commands.wait(child, 0.05)
        lines = (run / "metrics.jsonl").read_bytes().count(b"\n") if (run / "metrics.jsonl").exists() else 0
        if status is None and lines:
            samples.append((lines, commands.resident(child)))
    if status is None:
        commands.kill(child)
    early = [size for line, size in samples if epochs // 10 <= line <= epochs // 5]
    late = [size for line, size in samples if line >= epochs * 9 // 10]
    if status or not early or not late:
        return {"epochs": epochs, "fault": f"status {status}, {len(samples)} samples"}
    return {"epochs": epochs, "early_mib": round(max(early) / 2**20, 1), "late_mib": round(max(late) / 2**20, 1)}
