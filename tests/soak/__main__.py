"""The soak: commands killed, files damaged, disks full, and whether everything keeps working.

    python -m tests.soak [--minutes N] [--seed S] [--kills N] [--mutants N] [--jobs N] [--epochs N]
        [--only PART] [--output FILE]

Run it in the root of the repository. It kills ``prepare``, ``pretrain``, ``finetune --output``, ``export`` and
``reproduce`` at random moments and compares what the same command makes afterwards with an unbroken run; sends damaged
files through every reader; fills a small tmpfs (as root); takes the streams
away that they print to; and watches the memory of a long run. It prints a table in
Markdown and writes everything to FILE as JSON. The exit status is 1 where there was a fault.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.soak import commands, kills, mutants, scarce, scenes, streams

PARTS = ("kills", "mutants", "disk", "streams", "memory")


def main() -> int:
    """Run the soak of the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Kill, damage, starve; then compare.")
    parser.add_argument("--minutes", type=float, default=20, help="time for all parts together; default 20")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the damage; default 0")
    parser.add_argument("--kills", type=int, default=120, help="default 120")
    parser.add_argument("--mutants", type=int, default=1000, help="default 1000")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="killed or read side by side; default: cores")
    parser.add_argument("--epochs", type=int, default=200, help="of the run whose memory is watched; default 200")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given several times")
    parser.add_argument("--output", type=Path, help="JSON file of all figures and faults")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermssl-soak-", ignore_cleanup_errors=True) as folder:
        found = soak(Path(folder), given)
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    return int(any(faults_of(part) for part in found["parts"].values()))


def soak(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that are asked for in ``folder``, each with its share of the time."""
    os.environ |= {"DERMSSL_CACHE": str(folder / "home"), "HF_HOME": str(folder / "hf")}
    commands.import_everything()
    log, inputs, parts = folder / "log.txt", folder / "given", list(given.only or PARTS)

    def run(*words: str | Path, into: Path | None = None) -> None:
        ended = commands.run(*words, log=log)
        if ended.status:
            raise SystemExit(f"the soak cannot begin: {' '.join(map(str, words))}\n{ended.said}")
        if into:
            into.write_text(ended.said[ended.said.index("{\n") :])

    scenes.prepare_inputs(inputs, run)
    if "mutants" in parts:
        mutants.prepare_readers(inputs, log)
    begun, found = time.monotonic(), {}
    for number, part in enumerate(parts, start=1):
        own = folder / part
        own.mkdir()
        end = begun + 60 * given.minutes * number / len(parts)

        def goes_on(end: float = end) -> bool:
            return time.monotonic() < end

        match part:
            case "kills":
                found[part] = kills.kill_all(inputs, own, given.kills, given.seed, goes_on, given.jobs)
            case "mutants":
                found[part] = mutants.try_all(inputs, own, given.mutants, given.seed, goes_on, given.jobs)
            case "disk":
                found[part] = scarce.fill_disks(inputs, own, goes_on)
            case "streams":
                found[part] = streams.spoil_streams(inputs, own, goes_on)
            case "memory":
                found[part] = scarce.watch_memory(inputs, own, given.epochs)
    return {
        "command": " ".join(["python -m tests.soak", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": commands.machine(),
        "seconds": round(time.monotonic() - begun),
        "parts": found,
    }


def faults_of(part: dict[str, Any]) -> list[Any]:
    """The faults of a part."""
    return [*part.get("faults", []), *([part["fault"]] if "fault" in part else [])]


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows: list[tuple[str, Any]] = []
    parts = found["parts"]
    if "kills" in parts:
        rows.append(("SIGKILLs", parts["kills"]["kills"]))
        rows += [(f"- `{name}`", one["kills"]) for name, one in parts["kills"]["commands"].items()]
        rows.append(("results or leftovers that were not right", len(parts["kills"]["faults"])))
    if "mutants" in parts:
        rows.append(("damaged files", parts["mutants"]["mutants"]))
        rows += [(f"- {name}", count) for name, count in sorted(parts["mutants"]["ends"].items())]
    if "disk" in parts and "skipped" in parts["disk"]:
        rows.append(("full disk", f"skipped: {parts['disk']['skipped']}"))
    elif "disk" in parts:
        rows.append(("commands on a disk with little room", parts["disk"]["tried"]))
        rows += [("- ran out of it", parts["disk"]["full"]), ("- faults", len(parts["disk"]["faults"]))]
    if "streams" in parts:
        rows += [("commands without a place to print to", parts["streams"]["tried"])]
        rows += [("- faults", len(parts["streams"]["faults"]))]
    if "memory" in parts:
        rows += [(f"memory, {name}", value) for name, value in parts["memory"].items()]
    head = f"`{found['command']}`, {found['machine']}, {found['date']}, {found['seconds']} s"
    lines = [head, "", "| what | figure |"]
    return "\n".join([*lines, "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows)])


if __name__ == "__main__":
    sys.exit(main())
