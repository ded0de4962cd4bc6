"""The page of a result: one public call for every page that a command writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dermssl.errors import DermsslError
from dermssl.evaluation.cam import Cam
from dermssl.evaluation.fewshot import FewShot
from dermssl.evaluation.leakage.search import Leakage
from dermssl.evaluation.projection import Projection
from dermssl.evaluation.report import Report
from dermssl.reporting.cam_page import write_cam_page
from dermssl.reporting.evaluation_page import write_evaluation_page, write_fewshot_page
from dermssl.reporting.leakage_page import write_leakage_page
from dermssl.reporting.projection_page import write_projection_page

Result = Report | FewShot | Leakage | Cam | Projection


def write_page(result: Result | Sequence[Report], path: str | Path) -> list[Path]:
    """Write a result as one HTML file that needs no other: it opens from disk, fetches nothing and runs nothing.

    Args:
        result: what ``evaluate_knn``, ``finetune``, ``fewshot``, ``leakage``, ``class_activation`` or ``project``
            returned, or what ``Report.load`` read. Several reports stand side by side.
        path: of the HTML file. Beside it go the overlays of activation maps (PNG), and figure and points of a
            projection (``.svg``, ``points.csv``).

    Returns:
        the files, the page first.

    Raises:
        DermsslError: the result is of another kind, or a file cannot be written.
    """
    path = Path(path)
    if isinstance(result, Cam):
        return write_cam_page(path, result)
    if isinstance(result, Projection):
        return write_projection_page(path, result)
    if isinstance(result, Leakage):
        write_leakage_page(path, result)
    elif isinstance(result, FewShot):
        write_fewshot_page(path, result)
    else:
        reports = list(result) if isinstance(result, Iterable) else [result]
        if not reports or not all(isinstance(report, Report) for report in reports):
            raise DermsslError("write_page: give a result of dermssl, or one or more reports of evaluations")
        write_evaluation_page(path, reports)
    return [path]
