"""The answers of whole folds, kept until the report is there: an evaluation that was stopped goes on after them."""

import io
import logging
import shutil
from pathlib import Path

import numpy as np

from dermssl.data.prepare import user_folder
from dermssl.errors import DermsslError
from dermssl.files import replaced_file
from dermssl.regular import read_regular

LOGGER = logging.getLogger("dermssl")

MAX_BYTES = 2**31


class KeptFolds:
    """Answers of the folds of one evaluation, in the user's cache folder (``$DERMSSL_CACHE``).

    Args:
        request: sha256 of all that the answers are made from; another evaluation has other ones.
    """

    def __init__(self, request: str) -> None:
        self.folder: Path = user_folder() / "folds" / request

    def read(self, fold: int, shape: tuple[int, int]) -> np.ndarray | None:
        """(n, C) float64 probabilities of a fold; None where no whole answer of this shape is there."""
        try:
            written = read_regular(self._file(fold), MAX_BYTES, follow=False)
            answer: np.ndarray = np.load(io.BytesIO(written), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = answer.shape == shape and answer.dtype == np.float64 and np.isfinite(answer).all()
        return answer if whole else None

    def write(self, fold: int, answer: np.ndarray) -> None:
        """Keep an answer; where the disk does not take it, that is said and nothing more."""
        try:
            with replaced_file(self._file(fold), answer.nbytes) as draft, open(draft, "wb") as file:
                np.save(file, answer, allow_pickle=False)
        except DermsslError as error:
            LOGGER.warning("a fold's answers cannot be kept, this evaluation cannot be continued later: %s", error)

    def clear(self) -> None:
        """Delete them: the report is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, fold: int) -> Path:
        return self.folder / f"fold-{fold}.npy"
