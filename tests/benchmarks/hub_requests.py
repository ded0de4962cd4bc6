"""Time and requests of push and load, for a ResNet18 on the loopback Hub.

python tests/benchmarks/hub_requests.py
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"  # read at import: the loopback Hub speaks LFS
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

from hub_fixtures import write_run
from loopback_hub import WRITE, LoopbackHub

from dermssl.hub.push import push

LOAD = """
import time, timm
start = time.perf_counter()
timm.create_model("hf-hub:derm/resnet18", pretrained=True, num_classes=7)
print(f"{time.perf_counter() - start:.2f}")
"""


def report(what: str, seconds: float, hub: LoopbackHub) -> None:
    """Print one line and forget the requests."""
    counts = Counter(method for method, _, _ in hub.requests)
    print(f"{what}: {seconds:.2f} s, {len(hub.requests)} requests ({', '.join(f'{n} {m}' for m, n in counts.items())})")
    for method, path, status in hub.requests:
        print(f"    {method} {path} {status}")
    hub.requests.clear()


def load(hub: LoopbackHub, cache: str, **environment: str) -> float:
    """Seconds of ``timm.create_model`` in a fresh process, imports not counted."""
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": cache, "HF_TOKEN": WRITE, **environment}
    return float(subprocess.run([sys.executable, "-c", LOAD], env=env, check=True, capture_output=True).stdout)


with tempfile.TemporaryDirectory() as folder, LoopbackHub() as hub:
    run = write_run(Path(folder) / "r18", "resnet18")
    for what in ("first push", "push of the same again"):
        start = time.perf_counter()
        push(run, "derm/resnet18", endpoint=hub.url, token=WRITE, tag="v1")
        report(what, time.perf_counter() - start, hub)
    report("first load by timm", load(hub, folder), hub)
    report("load by timm, in the cache", load(hub, folder), hub)
    report("load by timm, HF_HUB_OFFLINE=1", load(hub, folder, HF_HUB_OFFLINE="1"), hub)
