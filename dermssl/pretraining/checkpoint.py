"""What is needed to go on with a run as if it had never stopped: two files, each sealed by a hash of its bytes."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from dermssl.documents import unreadable
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.pretraining.finite import bytes_of, not_finite
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.regular import NotRegular, open_regular

# Behind the zip archive that torch writes; its reader passes over what follows the archive.
SEAL = b"\ndermssl sha256 "
_SEAL_BYTES = len(SEAL) + 64
SEALED_SINCE = 2  # the format; checkpoints of version 0.1.0 name none and have the archive's own checksums
_CHUNK = 2**20

_PARTS: dict[str, Any] = {
    "state_dict": dict,
    "optimizer": dict,
    "step": int,
    "totals": dict,
    "epoch_seconds": (int, float),
    "augmentation_rng": torch.Tensor,
    "torch_rng": torch.Tensor,
}


class DamagedCheckpoint(DermsslError):
    """A checkpoint that cannot be gone on from; the message names the file and what is wrong with it."""


def save_checkpoint(run: RunDirectory, state: dict[str, Any]) -> None:
    """Write ``state`` to the run's checkpoint, whole or not at all; the one before is kept beside it.

    Args:
        run: whose checkpoint it is.
        state: tensors, numbers, text, lists and dicts of them; all finite.

    Raises:
        DermsslError: the disk is full or the folder cannot be written; the last checkpoint is untouched.
    """
    state = {"format": SEALED_SINCE, **state}
    with replaced_file(run.checkpoint, bytes_of(state)) as temporary:
        with open(temporary, "wb") as file:
            sealing = _Sealing(file)
            try:
                torch.save(state, sealing)  # type: ignore[arg-type]  # it asks for no more than these two methods
            except RuntimeError as error:  # how torch reports a full disk
                raise sealing.failure or error from error
            file.write(SEAL + sealing.hash.hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())
        if run.checkpoint.exists():
            os.replace(run.checkpoint, run.previous)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only plain data is unpickled.

    Raises:
        DamagedCheckpoint: it is missing, or not what was written.
        DermsslError: the system refuses to read it.
    """
    try:
        with open_regular(path, follow=False) as file:
            sealed = _check_seal(path, file)
            file.seek(0)
            state = _unpickled(path, file)
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{path} is missing") from error
    except NotRegular as error:
        raise DamagedCheckpoint(f"{path} {error.strerror}") from error
    except (OSError, MemoryError) as error:
        raise unreadable(path, error, "try again") from error
    if not isinstance(state, dict):
        raise _damaged(path, "it holds no state of a run")
    for name, kind in _PARTS.items():
        if not isinstance(state.get(name), kind) or isinstance(state.get(name), bool):
            raise _damaged(path, f"its {name} is missing or of another kind")
    if not sealed and state.get("format") is not None:
        raise _damaged(path, "its end is missing")
    broken = not_finite(state)
    if broken:
        raise _damaged(path, f"{len(broken)} of its tensors hold NaN or infinity ({broken[0]})")
    return state


class _Sealing:
    """A file to write to that hashes what it is given, and remembers why it could not write."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.hash = file, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            written = self.file.write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise
        self.hash.update(data)
        return written

    def flush(self) -> None:
        self.file.flush()


def _check_seal(path: Path, file: BinaryIO) -> bool:
    """Whether the file has a seal; one without must pass the checksums of its archive.

    Raises:
        DamagedCheckpoint: its bytes are others than those that were written.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _SEAL_BYTES))
    tail = file.read(_SEAL_BYTES)
    file.seek(0)
    if tail.startswith(SEAL):
        digest, left = hashlib.sha256(), size - _SEAL_BYTES
        while left and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        if digest.hexdigest().encode() != tail[len(SEAL) :]:
            raise _damaged(path, "its bytes are not those that were written")
        return True
    try:
        wrong = zipfile.ZipFile(file).testzip()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged file
        raise _damaged(path, "it is cut short or not a checkpoint" if size else "it is empty") from error
    if wrong is not None:
        raise _damaged(path, "its bytes are not those that were written")
    return False


def _unpickled(path: Path, file: BinaryIO) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise _damaged(path, f"torch cannot read it ({type(error).__name__})") from error


def _damaged(path: Path, fault: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"{path} cannot be read (it is damaged: {fault})")
