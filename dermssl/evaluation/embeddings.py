"""The features of a set of images, and the files they are kept in: .npz for NumPy, .parquet for tables, .csv."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.csv_rows import write_rows
from dermssl.data.sources.extras import extra
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.privacy import handed_on

SUFFIXES = (".npz", ".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The result of `embed`.

    Attributes:
        ids: (N,) str, the name of each image.
        labels: (N,) str, its class; "" = unknown.
        groups: (N,) str, its lesion or patient; "" = unknown.
        split: (N,) str, the part of the data it is of; "" = the data has none.
        features: (N, D) float32 or float16, the pooled features.
        neighbours: (N, K) int64, the rows of the nearest other images, the nearest first; None unless asked for.
        cosines: (N, K) float32, their cosine similarity.
        protocol: what the features were made with.
    """

    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    split: np.ndarray
    features: np.ndarray
    neighbours: np.ndarray | None
    cosines: np.ndarray | None
    protocol: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: str | Path) -> None:
        """Write a .npz, .parquet or .csv file, whole or not at all; docs/reference/files.md has its columns.

        Raises:
            DermsslError: the suffix is unknown, or the file cannot be written.
        """
        path = Path(path)
        refuse_suffix(path)
        write = {".npz": _write_npz, ".parquet": _write_parquet, ".csv": _write_csv}[path.suffix.lower()]
        with replaced_file(path) as temporary:
            write(self, temporary)


def refuse_suffix(path: Path) -> None:
    """Say before the work that no such file can be written.

    Raises:
        DermsslError: the suffix is unknown, or the library that writes it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DermsslError(f"--output {path}: the suffix is unknown; use one of {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        extra("pyarrow.parquet", f"--output {path}")


def _write_npz(result: Embeddings, path: Path) -> None:
    arrays = {name: getattr(result, name) for name in ("ids", "labels", "groups", "split", "features")}
    if result.neighbours is not None:
        arrays |= {"neighbours": result.neighbours, "cosines": result.cosines}
    with open(path, "wb") as file:  # np.savez would append .npz to a name
        np.savez(file, **arrays, protocol=np.array(json.dumps(handed_on(result.protocol))))


def _write_csv(result: Embeddings, path: Path) -> None:
    width = result.features.shape[1]
    digits = "%.9g" if result.features.dtype == np.float32 else "%.5g"  # as many as give the same number again
    k = 0 if result.neighbours is None else result.neighbours.shape[1]
    header = ["id", "label", "group", "split"]
    header += [f"{name}_{i + 1}" for i in range(k) for name in ("neighbour", "cosine")]

    def cells(row: int) -> list[object]:
        about = [result.ids[row], result.labels[row], result.groups[row], result.split[row]]
        if result.neighbours is not None and result.cosines is not None:
            for other, cosine in zip(result.neighbours[row], result.cosines[row], strict=True):
                about += [result.ids[other], f"{cosine:.6f}"]
        return about + [digits % value for value in result.features[row].tolist()]

    with open(path, "w", encoding="utf-8", newline="") as file:
        write_rows(file, [[*header, *(f"f{i}" for i in range(width))]])
        write_rows(file, map(cells, range(len(result))))


def _write_parquet(result: Embeddings, path: Path) -> None:
    pa = extra("pyarrow", f"--output {path}")
    pq = extra("pyarrow.parquet", f"--output {path}")
    flat = pa.array(np.ascontiguousarray(result.features).reshape(-1))
    columns = {
        "id": pa.array(result.ids.tolist()),
        "label": pa.array([text or None for text in result.labels.tolist()], pa.string()),
        "group": pa.array([text or None for text in result.groups.tolist()], pa.string()),
        "split": pa.array([text or None for text in result.split.tolist()], pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, result.features.shape[1]),
    }
    if result.neighbours is not None and result.cosines is not None:
        columns["neighbours"] = pa.array(result.ids[result.neighbours].tolist(), pa.list_(pa.string()))
        columns["cosines"] = pa.array(result.cosines.tolist(), pa.list_(pa.float32()))
    table = pa.table(columns).replace_schema_metadata({"dermssl": json.dumps(handed_on(result.protocol))})
    pq.write_table(table, path)
