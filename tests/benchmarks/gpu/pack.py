"""What travels to the card: the tracked files but for hub/, and in .carry/ the images and the wheels.

    python tests/benchmarks/gpu/pack.py TRAVEL_160.tar [--wheels FOLDER] [--into FOLDER]

Fills ``.carry/`` of this checkout, which git ignores: the images, and the wheels that the card lacks, downloaded by pip
or taken from a folder. Says what travels, and refuses more than 64 MiB. With ``--into`` a copy of all that travels is
made there.
"""

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MOST = 64 * 2**20  # bytes
LEFT_HERE = "hub/"  # published weights: as large as all that may travel
# Pure Python, and not on the card, or not surely in these versions. What else lightly names MoCo does not import.
WHEELS = ("lightly==1.6.0", "lightning-utilities==0.15.3", "timm==1.0.31")


def fill(carry: Path, travel: Path, wheels: Path | None) -> list[Path]:
    """Put the images and the wheels into an empty folder."""
    shutil.rmtree(carry, ignore_errors=True)
    carry.mkdir()
    shutil.copyfile(travel, carry / "travel_160.tar")
    if wheels is None:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*download, "--python-version", "3.12", "-d", str(carry), *WHEELS], check=True)
    for wheel in () if wheels is None else wheels.glob("*.whl"):
        shutil.copyfile(wheel, carry / wheel.name)
    return sorted(carry.iterdir())


def own_files() -> tuple[list[Path], list[Path]]:
    """The files of this checkout that are tracked, or untracked and not ignored: those that travel, and the others."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    there = [name for name in names if name and (ROOT / name).is_file()]
    return ([ROOT / name for name in there if not name.startswith(LEFT_HERE)],
            [ROOT / name for name in there if name.startswith(LEFT_HERE)])  # fmt: skip


def largest_place(files: list[Path]) -> tuple[str, int]:
    """The file or folder at the top of the checkout that holds most, and how many bytes."""
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[file.relative_to(ROOT).parts[0]] += file.stat().st_size
    return sizes.most_common(1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("travel", type=Path, help="travel_160.tar")
    parser.add_argument("--wheels", type=Path, help="folder to take the wheels from; default: pip downloads them")
    parser.add_argument("--into", type=Path, help="copy all that travels into this new folder")
    args = parser.parse_args()
    into = args.into
    carry = ROOT / ".carry" if into is None else into / ".carry"
    if into is not None:
        into.mkdir(parents=True)
    carried = fill(carry, args.travel, args.wheels)
    own, left = own_files()
    sizes = {"the checkout": own, ".carry": carried}
    total = 0
    for title, files in sizes.items():
        size = sum(file.stat().st_size for file in files)
        total += size
        print(f"{title}: {len(files)} files, {size / 2**20:.1f} MiB")
    if total > MOST:
        largest, size = largest_place(own)
        sys.exit(
            f"{total / 2**20:.1f} MiB are more than the {MOST / 2**20:.0f} that may travel; largest in the checkout is "
            f"{largest}, {size / 2**20:.1f} MiB: move it away if git does not track it"
        )
    print(f"together {total / 2**20:.1f} MiB of the {MOST / 2**20:.0f} that may travel")
    if into is not None:
        for file in own:
            place = into / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
    elif left:
        sys.exit(f"{LEFT_HERE} is still here and would travel too: see tests/benchmarks/gpu/README.md")


if __name__ == "__main__":
    main()
