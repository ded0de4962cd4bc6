"""The part on CUDA of docs/measurements/performance.md, from the JSON that the calls of the sitting wrote.

    python tests/benchmarks/gpu/page.py FOLDER            # prints it
    python tests/benchmarks/gpu/page.py FOLDER --write    # puts it into the page

What a call did not measure is a cell "not measured"; a miniature's figures are refused.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOT_MEASURED = "not measured"
PAGE = Path(__file__).parents[3] / "docs" / "measurements" / "performance.md"
BEGIN, END = "<!-- by tests/benchmarks/gpu/page.py -->", "<!-- to here -->"
CALLS = ("step", "lightly", "weights", "methods", "folds")

# What a user with the paper's images waits for, and may wait.
IMAGES, EPOCHS, BATCH, AIM = 33_126, 200, 512, 25

Cells = dict[str, Any]


def table(header: list[str], lines: list[list[str]]) -> str:
    """A table of Markdown; the first column is words, the others numbers."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def cell(cells: Cells | None, name: str, form: str = "{:,.0f}") -> str:
    """A number in words."""
    value = (cells or {}).get(name)
    return NOT_MEASURED if value is None else form.format(value)


def ratio(cells: Cells | None, to: Cells | None, form: str = "{:.0%}") -> str:
    """The speed of a row as a share of another's."""
    speeds = [(row or {}).get("images_per_second") for row in (cells, to)]
    return NOT_MEASURED if None in speeds else form.format(speeds[0] / speeds[1])


def spread(cells: Cells | None) -> str:
    """The slowest and the fastest round."""
    both = [(cells or {}).get(name) for name in ("slowest", "fastest")]
    return NOT_MEASURED if None in both else f"{both[0]:,.0f} to {both[1]:,.0f}"


def gibibytes(cells: Cells | None) -> str:
    """Memory at its peak."""
    used = (cells or {}).get("memory")
    return NOT_MEASURED if used is None else f"{used / 2**30:.1f} GiB"


def sizes_of(rows: dict[str, Cells], usual: tuple[int, ...]) -> list[int]:
    """The edges in pixels of a table."""
    return sorted({int(name.split()[0]) for name in rows if re.match(r"\d+ px", name)}) or list(usual)


def step_table(found: Cells) -> str:
    """What a step takes, as it is, compiled and replayed, beside its network alone and its floor."""
    rows, lines = found.get("rows", {}), []
    for size in sizes_of(rows, (64, 128, 224)):
        at = f"{size} px"
        floor, bare_compiled = rows.get(f"{at}, floor"), rows.get(f"{at}, compiled, bare")
        lines.append(
            [f"{at}, floor", cell(floor, "images_per_second"), "", cell(floor, "milliseconds", "{:.1f}"), *[""] * 5]
        )
        for kind in ("eager", "eager, replayed", "compiled", "compiled, replayed"):
            network, replayed, _ = (*kind.split(", "), "", "")[:3]
            bare_name = f"{at}, {network}, bare" + (f", {replayed}" if replayed else "")
            row, bare = rows.get(f"{at}, {kind}"), rows.get(bare_name)
            outside = ratio(row, bare, "{:.6f}")
            lines.append([
                f"{at}, {kind}",
                cell(row, "images_per_second"),
                spread(row),
                cell(row, "milliseconds", "{:.1f}"),
                ratio(row, floor),
                ratio(row, bare_compiled),
                outside if outside == NOT_MEASURED else f"{1 - float(outside):.0%}",
                gibibytes(row),
                cell(row, "waits"),
            ])  # fmt: skip
    header = ["batch 512", "images/s", "range", "ms a step", "of the floor", "of the bare compiled step",
              "outside the network", "memory", "waits in 10 steps"]  # fmt: skip
    return table(header, lines)


def ceilings_and_tests(found: Cells) -> str:
    """In a sentence each: the card's ceilings, and the tests."""
    rows = found.get("rows", {})
    ceiling, tests = rows.get("ceilings"), rows.get("tests")
    rate, bandwidth = (cell(ceiling, name, "{:.3e}") for name in ("operations_per_second", "bytes_per_second"))
    return (
        f"A large matrix product in bf16, operations a second: {rate}; a large copy, bytes a second: {bandwidth}. "
        f"Tests marked `gpu` that passed: {cell(tests, 'passed')}."
    )


def minutes_of(speed: float) -> float:
    """That the paper's images take at so many images per second."""
    return EPOCHS * (IMAGES // BATCH) * BATCH / speed / 60


def extrapolated(rows: dict[str, Cells]) -> str:
    """How long 200 epochs of the paper's images take at 224 px, by the fastest way of making a step."""
    speeds = {kind: rows.get(f"224 px, {kind}", {}).get("images_per_second")
              for kind in ("eager", "eager, replayed", "compiled", "compiled, replayed")}  # fmt: skip
    known = {kind: speed for kind, speed in speeds.items() if speed}
    what = f"{IMAGES:,} images x {EPOCHS} epochs at 224 px, extrapolated (the aim is {AIM} minutes)"
    if not known:
        return f"{what}: {NOT_MEASURED}"
    best = max(known, key=lambda kind: known[kind])
    return f"{what}: {minutes_of(known[best]):.1f} minutes, {best}"


def lightly_names(size: int) -> dict[str, str]:
    """Row -> what the page calls it."""
    at = f"{size} px"
    return {
        f"{at}, lightly, fp32": f"{at}, lightly as documented",
        f"{at}, lightly, same precision": f"{at}, lightly in our precision",
        f"{at}, dermssl": f"{at}, dermssl",
    }


def lightly_table(found: Cells) -> str:
    """Ours and lightly's, end to end."""
    rows, lines = found.get("rows", {}), []
    for size in sizes_of(rows, (128, 224)):
        for name, title in lightly_names(size).items():
            row = rows.get(name)
            numbers = [cell(row, "images_per_second"), spread(row), cell(row, "ratio", "{:.2f}"), cell(row, "network")]
            lines.append([title, *numbers, gibibytes(row)])
    return table(["batch 512", "images/s", "range", "ratio", "network alone", "memory"], lines)


def lightly_extrapolated(rows: dict[str, Cells]) -> str:
    """How long each takes for the paper's images."""
    said = [f"{IMAGES:,} images x {EPOCHS} epochs at 224 px, extrapolated:"]
    for name, title in lightly_names(224).items():
        speed = rows.get(name, {}).get("images_per_second")
        said.append(f"- {title}: " + (f"{minutes_of(speed):.0f} minutes" if speed else NOT_MEASURED))
    return "\n".join(said)


def figures(row: Cells | None) -> list[str]:
    """Accuracy and macro recall."""
    return [cell(row, name, "{:.1%}") for name in ("accuracy", "macro_recall")]


def trained(row: Cells | None) -> list[str]:
    """Epochs, seconds and speed of a pretraining."""
    return [cell(row, "epochs"), cell(row, "seconds"), cell(row, "images_per_second")]


def weights_table(found: Cells) -> str:
    """The pretraining at 128 px and its two evaluations."""
    rows = found.get("rows", {})
    lines = [[name, *trained(rows.get("pretraining")), *figures(rows.get(name))] for name in ("knn", "frozen")]
    return table(["128 px", "epochs", "seconds", "images/s", "accuracy", "macro recall"], lines)


def methods_table(found: Cells) -> str:
    """Methods with the same time."""
    rows = found.get("rows", {})
    names = ("rotinstdisc", "moco", "simclr", "byol")
    lines = [[name, *trained(rows.get(name)), *figures(rows.get(name))] for name in names]
    return table(["128 px, KNN", "epochs", "seconds", "images/s", "accuracy", "macro recall"], lines)


def folds_table(found: Cells) -> str:
    """Five folds, fine-tuned and frozen."""
    rows, lines = found.get("rows", {}), []
    for name in ("frozen", "fine-tuned"):
        row = rows.get(name)
        speed = "" if name == "frozen" else cell(row, "images_per_second")
        lines.append([name, cell(row, "weights", "{}"), cell(row, "seconds"), speed, *figures(row)])
    return table(["128 px, 5 folds", "weights", "seconds", "images/s", "accuracy", "macro recall"], lines)


def section(found: dict[str, Cells]) -> str:
    """All of the part on CUDA, by call."""
    step, lightly = found.get("step", {}), found.get("lightly", {})
    parts = [
        "\n".join(origins(found)) or f"No card was at hand: everything here is {NOT_MEASURED}.",
        step_table(step),
        ceilings_and_tests(step),
        extrapolated(step.get("rows", {})) + ".",
        lightly_table(lightly),
        weights_table(found.get("weights", {})),
        methods_table(found.get("methods", {})),
        folds_table(found.get("folds", {})),
    ]
    return "\n\n".join(parts)


def origins(found: dict[str, Cells]) -> Iterator[str]:
    """Where each figure comes from: command, machine, date."""
    for call in found.values():
        torch = call["versions"]["torch"]
        yield f"- `{call['command']}`: {call['hardware']}, torch {torch}, {call['date']}"


def read(folder: Path) -> dict[str, Cells]:
    """What the calls wrote, by call.

    Raises:
        ValueError: one was a miniature.
    """
    found = {name: json.loads(file.read_text()) for name in CALLS if (file := folder / f"{name}.json").exists()}
    for name, call in found.items():
        if "miniature" in call:
            raise ValueError(f"{name}.json: {call['miniature']}")
    return found


def written(text: str, found: dict[str, Cells]) -> str:
    """The page's text with the part on CUDA made anew."""
    before, _, rest = text.partition(BEGIN)
    _, there, after = rest.partition(END)
    if not there:
        raise ValueError(f"{PAGE.name} has no part between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section(found)}\n\n{END}{after}"


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    found = read(Path(arguments[0]))
    if "--write" in sys.argv:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(section(found))


if __name__ == "__main__":
    main()
