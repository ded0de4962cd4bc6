"""SIGKILL at random moments; the same command then runs to its end, and its result must be that of an unbroken run."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import commands
from tests.soak.scenes import SCENES, Scene, content, leftovers, torn

LIMIT = 180  # seconds for a command of less than ten


def kill_all(
    given: Path, folder: Path, count: int, seed: int, goes_on: Callable[[], bool], jobs: int
) -> dict[str, Any]:
    """Kill commands ``count`` times in all, or until ``goes_on`` says no, ``jobs`` of them side by side.

    Returns:
        ``kills``; for each command ``kills``, ``inside`` (those that came before its end) and ``restarts``; the faults.
    """
    faults: list[dict[str, Any]] = []
    unbroken: dict[str, tuple[dict[str, Any], float]] = {}
    for scene in SCENES:
        if scene.share:
            ended, own = _to_the_end(scene, given, folder / "unbroken")
            if ended.status:
                faults.append(_fault(scene, "does not run unbroken", ended.said))
            else:
                unbroken[scene.name] = (content(own / scene.makes, scene.exact), ended.seconds)
    rounds = _plan([scene for scene in SCENES if scene.name in unbroken], count, random.Random(seed))
    found: dict[str, dict[str, int]] = {name: {"kills": 0, "inside": 0, "restarts": 0} for name in unbroken}
    done = commands.side_by_side(_kill, range(len(rounds)), jobs, rounds, unbroken, given, folder, seed, goes_on)
    for one in filter(None, done):
        faults += one.pop("faults")
        figures = found[one.pop("command")]
        for name, value in one.items():
            figures[name] += value
    return {"kills": sum(figures["kills"] for figures in found.values()), "commands": found, "faults": faults}


def _plan(scenes: list[Scene], count: int, draw: random.Random) -> list[tuple[Scene, int]]:
    """Which command is killed how often before it is let run to its end."""
    choices = [scene for scene in scenes for _ in range(scene.share)]
    rounds: list[tuple[Scene, int]] = []
    while choices and count > 0:
        rounds.append((draw.choice(choices), min(draw.randint(1, 3), count)))
        count -= rounds[-1][1]
    return rounds


def _kill(
    number: int,
    rounds: list[tuple[Scene, int]],
    unbroken: dict[str, tuple[dict[str, Any], float]],
    given: Path,
    folder: Path,
    seed: int,
    goes_on: Callable[[], bool],
) -> dict[str, Any] | None:
    """One round: kill, look for what is half-written, start again, compare; None where there is no time left."""
    if not goes_on():
        return None
    scene, times = rounds[number]
    expected, seconds = unbroken[scene.name]
    own, draw = folder / f"round {number}" / "killed", random.Random(f"{seed} {number}")
    own.mkdir(parents=True)
    inside, faults = 0, []
    for _ in range(times):
        child = commands.start(*scene.words(given, own), log=own.parent / "log.txt")
        after = draw.uniform(0, seconds)
        if commands.wait(child, after) is None:
            commands.kill(child, group=draw.random() < 0.5)
            inside += 1
        broken = torn(own)
        if broken:
            faults.append(_fault(scene, f"half-written after a kill at {after:.3f} s: {broken}", ""))
    ended, _ = _to_the_end(scene, given, own, fresh=False)
    faults += [_fault(scene, text, ended.said) for text in _compared(scene, own, ended, expected)]
    shutil.rmtree(own.parent, ignore_errors=True)
    return {"command": scene.name, "kills": times, "inside": inside, "restarts": 1, "faults": faults}


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
