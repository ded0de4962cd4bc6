"""SIGKILL at random moments; the same command then runs to its end, and its result must be that of an unbroken run."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import commands
from tests.soak.scenes import SCENES, Scene, content, leftovers, torn

LIMIT = 180  # seconds for a command of less than ten


def kill_all(given: Path, folder: Path, count: int, draw: random.Random, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """Kill commands ``count`` times in all, or until ``goes_on`` says no.

    Returns:
        For each command ``kills``, ``inside`` (those that came before its end), ``restarts`` and the faults.
    """
    scenes = [scene for scene in SCENES if scene.share]
    unbroken: dict[str, tuple[dict[str, Any], float]] = {}
    found: dict[str, dict[str, Any]] = {}
    faults: list[dict[str, Any]] = []
    plan = [scene for scene in scenes for _ in range(scene.share)]
    killed = 0
    for scene in scenes:
        found[scene.name] = {"kills": 0, "inside": 0, "restarts": 0}
        ended, own = _to_the_end(scene, given, folder / "unbroken")
        if ended.status:
            faults.append(_fault(scene, "does not run unbroken", ended.said))
            plan = [one for one in plan if one is not scene]
            continue
        unbroken[scene.name] = (content(own / scene.makes, scene.exact), ended.seconds)
    while plan and killed < count and goes_on():
        scene = draw.choice(plan)
        expected, seconds = unbroken[scene.name]
        own = folder / "killed"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        for _ in range(min(draw.randint(1, 3), count - killed)):
            child = commands.start(*scene.words(given, own), log=folder / "log.txt")
            after = draw.uniform(0, seconds)
            if commands.wait(child, after) is None:
                commands.kill(child, group=draw.random() < 0.5)
                found[scene.name]["inside"] += 1
            found[scene.name]["kills"] += 1
            killed += 1
            broken = torn(own)
            if broken:
                faults.append(_fault(scene, f"half-written after a kill at {after:.3f} s: {broken}", ""))
        ended, _ = _to_the_end(scene, given, own, fresh=False)
        found[scene.name]["restarts"] += 1
        faults += [_fault(scene, text, ended.said) for text in _compared(scene, own, ended, expected)]
    return {"kills": killed, "commands": found, "faults": faults}


def _compared(scene: Scene, own: Path, ended: commands.Ended, expected: dict[str, Any]) -> list[str]:
    if ended.hung:
        return [f"hangs when it is started again ({LIMIT} s)"]
    if ended.status:
        return [f"does not go on: status {ended.status}"]
    found = content(own / scene.makes, scene.exact)
    differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    texts = [f"another result than unbroken: {differ}"] if differ else []
    left = leftovers(own)
    return texts + ([f"leftovers: {left}"] if left else [])


def _to_the_end(scene: Scene, given: Path, own: Path, fresh: bool = True) -> tuple[commands.Ended, Path]:
    if fresh:
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
    return commands.run(*scene.words(given, own), log=own.parent / "log.txt", limit=LIMIT), own


def _fault(scene: Scene, what: str, said: str) -> dict[str, Any]:
    return {"command": scene.name, "what": what, "said": said[-1500:]}
