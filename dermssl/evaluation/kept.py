"""The answers of whole folds, kept until the report is there: an evaluation that was stopped goes on after them."""

import hashlib
import logging
import math
import shutil
from pathlib import Path

import numpy as np

from dermssl.data.prepare import user_folder
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.regular import read_regular

LOGGER = logging.getLogger("dermssl")

_SEAL = hashlib.sha256().digest_size  # bytes before the values: damage is noticed, not evaluated


class KeptFolds:
    """Answers of the folds of one evaluation, in the user's cache folder (``$DERMSSL_CACHE``).

    Args:
        request: sha256 of all that the answers are made from; another evaluation has other ones.
    """

    def __init__(self, request: str) -> None:
        self.folder: Path = user_folder() / "folds" / request

    def read(self, fold: int, shape: tuple[int, int]) -> np.ndarray | None:
        """(n, C) float64 probabilities of a fold; None where no whole, undamaged answer of this shape is there."""
        try:
            written = read_regular(self._file(fold), _SEAL + 8 * math.prod(shape), follow=False)
        except OSError:
            return None
        seal, values = written[:_SEAL], written[_SEAL:]
        if seal != _sealed(values, shape):
            return None
        answer = np.frombuffer(values).reshape(shape)
        return answer if np.isfinite(answer).all() else None

    def write(self, fold: int, answer: np.ndarray) -> None:
        """Keep an answer, float64; where the disk does not take it, that is said and nothing more."""
        values = answer.tobytes()
        try:
            with replaced_file(self._file(fold), _SEAL + len(values)) as draft:
                draft.write_bytes(_sealed(values, answer.shape) + values)
        except DermsslError as error:
            LOGGER.warning("a fold's answers cannot be kept, this evaluation cannot be continued later: %s", error)

    def clear(self) -> None:
        """Delete them: the report is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, fold: int) -> Path:
        return self.folder / f"fold-{fold}"


def _sealed(values: bytes, shape: tuple[int, ...]) -> bytes:
    return hashlib.sha256(repr(shape).encode() + values).digest()
