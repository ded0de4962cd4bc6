"""Synthetic dermoscopy: drawn lesions in the layout of a HAM10000 download, for the demo and the tests."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from dermssl.data.layouts.ham10000 import SYNTHETIC_STAMP
from dermssl.data.synthetic_photographs import draw
from dermssl.errors import DermsslError
from dermssl.files import write_text
from dermssl.options import check

# HAM10000 has 67 % nv and 1.1 % df; a little flatter, so that 200 images still hold several of each.
SHARES = {"nv": 0.60, "mel": 0.12, "bkl": 0.11, "bcc": 0.07, "akiec": 0.05, "vasc": 0.03, "df": 0.02}
FEWEST = 5  # images, and lesions, of a class: one per fold
IMAGES_PER_LESION = 1.34  # as in HAM10000: 10,015 of 7,470

_VERSION = 1
_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "scalp")


def write_synthetic(
    folder: str | Path, *, images: int = 600, size: int = 96, seed: int = 0, upright: bool = False
) -> Path:
    """Write ``HAM10000_metadata.csv`` and ``HAM10000_images/*.jpg`` of drawn lesions.

    Args:
        folder: where to; one that holds the same set already is left as it is.
        images: their number, at least 35 (five of each of the seven classes).
        size: edge length in pixels.
        seed: decides everything.
        upright: draw what a short training can learn from: photographs with an up, as many of each class.

    Returns:
        The folder.

    Raises:
        DermsslError: too few images, or the folder holds another data set.
    """
    folder = Path(folder)
    check("images", images, least=FEWEST * len(SHARES))  # a few of each class
    check("size", size, least=16, most=2048)
    kind = {"upright": True} if upright else {}
    made = json.dumps({"synthetic": _VERSION, "images": images, "size": size, "seed": seed, **kind})
    stamp, table = folder / SYNTHETIC_STAMP, folder / "HAM10000_metadata.csv"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made:
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise DermsslError(f"{folder} is not empty; name a new folder for the synthetic images")
    pictures = folder / "HAM10000_images"
    pictures.mkdir(parents=True, exist_ok=True)
    rows = _table(class_counts(images, equal=upright), seed)
    for index, row in enumerate(rows):
        lesion = int(row["lesion_id"].split("_")[1])
        picture = draw(row["dx"], size, lesion=(seed, lesion), view=(seed, lesion, index), upright=upright)
        picture.save(pictures / f"{row['image_id']}.jpg", quality=92)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, text.getvalue())
    write_text(stamp, made)
    return folder


def class_counts(images: int, *, equal: bool = False) -> dict[str, int]:
    """Class -> number of images among ``images``: near ``SHARES``, at least ``FEWEST`` of each; or nearly ``equal``."""
    if equal:
        return {name: (images + number) // len(SHARES) for number, name in enumerate(SHARES)}
    counts = {name: max(FEWEST, int(images * share)) for name, share in SHARES.items()}
    counts["nv"] += images - sum(counts.values())
    return counts


def _table(counts: dict[str, int], seed: int) -> list[dict[str, str]]:
    rng = np.random.default_rng([seed, 1])
    rows, lesions = [], 0
    for name, count in counts.items():
        several = max(min(FEWEST, count), round(count / IMAGES_PER_LESION))
        of_image = [*range(several), *rng.integers(several, size=count - several)]
        patients = [
            {
                "age": f"{5 * int(rng.integers(3, 18))}.0",
                "sex": str(rng.choice(["male", "female"])),
                "localization": str(rng.choice(_SITES)),
                "dataset": str(rng.choice(["synthetic_a", "synthetic_b"])),
            }
            for _ in range(several)
        ]
        rows += [
            {"lesion_id": f"SYN_{lesions + i:07d}", "image_id": "", "dx": name, "dx_type": "drawn"} | patients[i]
            for i in of_image
        ]
        lesions += several
    rows = [rows[i] for i in rng.permutation(len(rows))]
    for index, row in enumerate(rows):
        row["image_id"] = f"SYNTH_{index:07d}"
    return rows
