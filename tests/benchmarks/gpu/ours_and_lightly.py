"""(b) Ours against lightly's MoCo v2, as documented and in our precision, end to end on the same images.

    bash tests/benchmarks/gpu/call.sh ours_and_lightly.py [--minutes 9]

``tests/benchmarks/against_lightly.py`` with a worker per core, at 224 and at 128 px. The images that travel have
160 px: for 224 px both sides enlarge them, lightly in its random crop, ours in the cache. Files of full size take
lightly longer to decode; ours does not decode in a step.
"""

import os
import shutil
from pathlib import Path

from against_lightly import compare
from page import lightly_extrapolated, lightly_table
from sitting import Call, Cells


def prefetch_that_fits(size: int, batch: int, workers: int) -> int:
    """Batches a worker may make ahead: both rows of lightly keep theirs in shared memory, in float32."""
    shared = Path("/dev/shm")
    free = shutil.disk_usage(shared).free if shared.is_dir() else 0
    of_a_batch = 2 * batch * 3 * size**2 * 4
    fits = 2 if 2 * 2 * workers * of_a_batch < 0.8 * free else 1
    print(f"/dev/shm has {free / 1e9:.0f} GB; each of {workers} workers makes {fits} batches ahead", flush=True)
    return fits


def measure(call: Call, size: int) -> Cells:
    """All rows at an edge in pixels."""
    network = call.network
    workers = 1 if call.tiny else os.cpu_count() or 1
    options = {
        "backbone": network["backbone"],
        "image_size": size,
        "batch": network["batch_size"],
        "queue": network["queue_size"],
        "device": network["device"],
    }
    loading = {"workers": workers, "prefetch": prefetch_that_fits(size, options["batch"], workers)}
    # whole rounds of the workers, who finish their batches at about the same time
    rows, _, dtype = compare(
        str(call.images), options, loading, rounds=1 if call.tiny else 2, steps=1 if call.tiny else 2 * workers
    )
    for row in rows:
        speeds = row.speeds["train"]
        call.rows[f"{size} px, {row.name}"] = {
            "images_per_second": row.median("train"),
            "slowest": min(speeds),
            "fastest": max(speeds),
            "ratio": row.median("train") / rows[0].median("train"),
            "network": row.median("network"),
            "memory": None if call.tiny else row.memory,
        }
    return {"workers": workers, "prefetch": loading["prefetch"], "precision": dtype}


def main() -> None:
    call = Call("lightly", __doc__, minutes=9)
    for size in (32,) if call.tiny else (224, 128):
        call.measure(f"{size} px", lambda size=size: measure(call, size), needs=120)
    call.finish(lightly_table({"rows": call.rows}), lightly_extrapolated(call.rows))


if __name__ == "__main__":
    main()
