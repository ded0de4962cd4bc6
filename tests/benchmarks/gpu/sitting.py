"""What the calls of the sitting share: their options, their time, and what they write and print."""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from dermssl.devices import hardware_name, resolve_device
from dermssl.version import versions

MINIATURE = "a miniature on the CPU: it shows that the call runs, and its figures mean nothing"

Cells = dict[str, Any]


class Call:
    """A call of the sitting: it measures one thing after the other and writes after each what is known.

    Args:
        name: of the call, and of the JSON that it writes.
        doc: what it does.
        minutes: it may take, unless ``--minutes`` says otherwise; what does not fit is left out, and that is said.
    """

    def __init__(self, name: str, doc: str | None, minutes: float) -> None:
        work = Path(os.environ.get("SITTING", "/tmp/sitting"))
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--output", type=Path, default=os.environ.get("OUT"), help="folder; default: $OUT")
        parser.add_argument("--minutes", type=float, default=minutes, help=f"of the whole call; default: {minutes:g}")
        parser.add_argument("--tiny", action="store_true", help=MINIATURE)
        args = parser.parse_args()
        if args.output is None:
            parser.error("name a folder with --output, or in $OUT")
        self.name, self.tiny, self.work, self.output = name, args.tiny, work, args.output
        self.ends = time.monotonic() + 60 * args.minutes
        self.device = resolve_device("cpu" if self.tiny else "cuda")
        self.rows: dict[str, Cells] = {}
        self.failed = False
        self.output.mkdir(parents=True, exist_ok=True)

    @property
    def images(self) -> Path:
        """All images that travelled."""
        return self.work / "images"

    @property
    def ham(self) -> Path:
        """Those with labels, and these."""
        return self.work / "travel_160" / "ham10000"

    @property
    def network(self) -> dict[str, Any]:
        """The options that every training of the sitting shares."""
        if self.tiny:
            return {"backbone": "test_resnet", "batch_size": 16, "queue_size": 64, "device": "cpu", "workers": 1}
        return {"backbone": "resnet18", "batch_size": 512, "queue_size": 8192, "device": "cuda"}

    def left(self) -> float:
        """Seconds of the call's time that are left."""
        return self.ends - time.monotonic()

    def measure(self, row: str, work: Callable[[], Cells], needs: float = 0.0) -> Cells:
        """Add a row to the table: what ``work`` found, or why there is nothing. The others go on.

        Args:
            row: its name.
            work: returns the cells.
            needs: seconds; with less left the row is left out.
        """
        started = time.monotonic()
        if self.left() < needs:
            self.rows[row] = {"left out": f"{needs:.0f} s were not left"}
        else:
            try:
                self.rows[row] = {**work(), "took": round(time.monotonic() - started, 1)}
            except Exception as error:
                traceback.print_exc()
                self.failed = True
                self.rows[row] = {"failed": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
        self._write()
        print(f"[{self.left():.0f} s left] {row}: {self.rows[row]}", flush=True)
        return self.rows[row]

    def _write(self) -> None:
        found = {
            "call": self.name,
            **({"miniature": MINIATURE} if self.tiny else {}),
            "hardware": hardware_name(self.device),
            "versions": versions(),
            "date": str(date.today()),
            "command": " ".join(["call.sh", Path(sys.argv[0]).name, *sys.argv[1:]]),
            "network": {name: value for name, value in self.network.items() if name != "device"},
            "rows": self.rows,
        }
        (self.output / f"{self.name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    def finish(self, *tables: str) -> None:
        """Print the tables last, since the end of the output is what comes back; the exit status says what failed."""
        if self.tiny:
            print(f"\n{MINIATURE}")
        print(f"\n{hardware_name(self.device)}, torch {torch.__version__}\n")
        print("\n\n".join(tables), flush=True)
        sys.exit(1 if self.failed else 0)


def accuracies(report: Any) -> Cells:
    """The two figures of an evaluation by which weights are compared, beside what guessing gives."""
    return {
        "accuracy": report.metrics["accuracy"],
        "macro_recall": report.metrics["balanced_accuracy"],
        "majority_accuracy": report.majority_accuracy,
    }
