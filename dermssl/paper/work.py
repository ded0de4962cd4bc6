"""How each kind of cell is made."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
from PIL import Image

from dermssl.backbones.load import load_backbone
from dermssl.evaluation.cam import class_activation
from dermssl.evaluation.compare import compare
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.projection import project
from dermssl.evaluation.recipes import RECIPES, Recipe
from dermssl.evaluation.report import Report
from dermssl.evaluation.training import steps_of
from dermssl.files import replaced_file, write_text
from dermssl.paper.budget import Budget
from dermssl.paper.cells import Cell, Ledger
from dermssl.paper.images import one_fold
from dermssl.paper.plan import BASE
from dermssl.pretraining.run import pretrain
from dermssl.reporting.cam_page import overlay
from dermssl.reporting.projection_page import scatter

LOOKED_AT = 6  # images of Figure 6
EDGE = 192  # pixels, of its pictures


@dataclass(frozen=True)
class Bench:
    """Everything that a cell is made from."""

    ledger: Ledger
    budget: Budget
    pretrain_data: str
    device: str
    progress: bool

    @property
    def places(self) -> tuple[str | Path, ...]:
        """Folders that an error may name, and a report handed on may not."""
        return self.ledger.folder, self.pretrain_data, self.budget.labelled.path, Path.home()

    def weights(self, subject: str) -> str:
        """The WEIGHTS argument of a row."""
        if subject == BASE:
            return f"random:{self.budget.settings.backbone}"
        if subject == "imagenet":
            return self.budget.settings.imagenet_weights
        return str(self.ledger.folder / "runs" / subject)

    def evaluation(self) -> dict[str, Any]:
        """The options that all evaluations with folds share."""
        settings = self.budget.settings
        options = {name: getattr(settings, name) for name in ("folds", "split", "image_size", "seed")}
        return {**options, "device": self.device, "progress": self.progress}


@dataclass(frozen=True)
class Made:
    """What a cell came to: its figures, the files it wrote, and a few words for the terminal."""

    result: dict[str, Any]
    files: tuple[str, ...]
    words: str


def make(bench: Bench, cell: Cell) -> Made:
    """Make a cell. What it writes replaces what an earlier, unfinished attempt left."""
    return _MAKERS[cell.kind](bench, cell)


def _pretrain(bench: Bench, cell: Cell) -> Made:
    settings = bench.budget.settings
    options = {**settings.pretraining(), **cell.options, "device": bench.device}
    run = bench.ledger.folder / "runs" / cell.subject
    result = pretrain(bench.pretrain_data, run, **options)
    last = result.history[-1]
    figures = {
        "epochs": last["epoch"],
        "steps": last["step"],
        "loss": last["loss"],
        "seconds": sum(line["seconds"] for line in result.history),
    }
    return Made(figures, (f"runs/{cell.subject}/backbone/model.safetensors",), f"loss {last['loss']:.3f}")


def _weights(bench: Bench, cell: Cell) -> Made:
    weights = bench.weights(cell.subject)
    load_backbone(weights)  # downloads them once, before several evaluations ask for them
    return Made({"weights": weights}, (), weights)


def _knn(bench: Bench, cell: Cell) -> Made:
    k = bench.budget.settings.k
    assert k is not None
    labelled = bench.budget.labelled
    return _report(bench, cell, evaluate_knn(bench.weights(cell.subject), labelled, k=k, **bench.evaluation()))


def _transfer(bench: Bench, cell: Cell) -> Made:
    settings = bench.budget.settings
    frozen = cell.kind == "frozen" or (cell.kind == "few" and settings.few_labels == "frozen")
    recipe, epochs = RECIPES[settings.finetune_recipe], settings.finetune_epochs
    fraction = cell.options.get("fraction", 1.0)
    if frozen and recipe.head == "logistic":
        epochs = None
    elif epochs is not None and fraction < 1:
        whole = len(bench.budget.labelled.records.labelled()) * (settings.folds - 1) // settings.folds
        epochs = few_epochs(recipe, epochs, whole, fraction)
    report = finetune(
        bench.weights(cell.subject),
        bench.budget.labelled,
        freeze=frozen,
        recipe=settings.finetune_recipe,
        fraction=fraction,
        epochs=epochs,
        precision=settings.precision,
        **bench.evaluation(),
    )
    return _report(bench, cell, report)


def few_epochs(recipe: Recipe, epochs: int, images: int, fraction: float) -> int:
    """Passes over a share of the labels where all of them get ``epochs``.

    As in the recipe itself there are at least ``least_steps`` steps, but no more than all labels get: one pass over
    a hundred images would teach nothing.
    """
    _, whole = steps_of(recipe, images, epochs)
    _, part = steps_of(recipe, max(1, round(fraction * images)), epochs)
    return max(epochs, math.ceil(min(recipe.least_steps, epochs * whole) / part))


def _difference(bench: Bench, cell: Cell) -> Made:
    base, subject = (
        Report.load(bench.ledger.report(f"{cell.options['evaluation']}/{cell.options[side]}"))
        for side in ("minus", "of")
    )
    comparison = compare(base, subject)
    figures = {
        name: {"difference": _plain(value), "interval": [_plain(edge) for edge in comparison.interval[name]]}
        for name, value in comparison.difference.items()
    }
    low, high = comparison.interval["accuracy"]
    points = f"accuracy {100 * comparison.difference['accuracy']:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})"
    return Made({"metrics": figures, "images": comparison.images}, (), points)


def _tsne(bench: Bench, cell: Cell) -> Made:
    """Figure 4 shows features after transfer. They are those of images that the transfer has not seen: one fold."""
    settings = bench.budget.settings
    options = bench.evaluation()
    division = {name: options.pop(name) for name in ("folds", "split")}
    train, test = one_fold(bench.budget.labelled, **division, seed=settings.seed)
    with tempfile.TemporaryDirectory() as folder:
        fitted = Path(folder) / "fitted"
        report = finetune(
            bench.weights(cell.subject),
            train,
            test=test,
            recipe=settings.finetune_recipe,
            epochs=settings.finetune_epochs,
            precision=settings.precision,
            output=fitted,
            **options,
        )
        model = timm.create_model(f"local-dir:{fitted}", pretrained=True, num_classes=0).eval()
    images = len(test.images)
    projection = project(model, test, perplexity=min(30.0, images / 4), k=min(10, max(1, images // 4)), **options)
    files = f"figures/tsne/{cell.subject}.svg", f"figures/tsne/{cell.subject}.csv"
    write_text(bench.ledger.folder / files[0], scatter(projection.points, projection.labels, projection.classes))
    write_text(bench.ledger.folder / files[1], projection.to_csv())
    purity = projection.overall["purity"]
    result = {
        "purity": projection.overall,
        "class_mean": projection.class_mean,
        "accuracy": report.metrics["accuracy"],
        "protocol": projection.protocol,
    }
    return Made(result, files, f"purity {100 * purity:.2f} %")


def _cam(bench: Bench, cell: Cell) -> Made:
    cam = class_activation(
        bench.weights(cell.subject),
        bench.budget.labelled,
        limit=LOOKED_AT,
        image_size=bench.budget.settings.image_size,
        seed=bench.budget.settings.seed,
        device=bench.device,
    )
    folder, files = bench.ledger.folder, []
    for number in range(len(cam.images)):
        image = Image.fromarray(cam.images.pixels(number))
        image.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
        for name, picture in (
            ("image", image),
            (cell.subject, Image.fromarray(overlay(np.asarray(image), cam.results[0].maps[number]))),
        ):
            files.append(f"figures/cam/{name}/{number + 1}.png")
            with replaced_file(folder / files[-1]) as temporary:
                picture.save(temporary, "PNG")
    shown = [
        " ".join(filter(None, (name, label))) for name, label in zip(cam.images.ids, cam.images.labels, strict=True)
    ]
    return Made({"images": shown, "method": cam.method}, tuple(files), f"{len(shown)} images")


def _report(bench: Bench, cell: Cell, report: Report) -> Made:
    """Save a report; its JSON is written last, so where it is there its predictions are too."""
    path = report.save(bench.ledger.report(cell.key))
    words = ", ".join(
        f"{name} {100 * report.metrics[metric]:.2f} %"
        for name, metric in (("accuracy", "accuracy"), ("macro recall", "recall_macro"))
    )
    return Made({}, (str(path.relative_to(bench.ledger.folder)),), words)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


_MAKERS: dict[str, Callable[[Bench, Cell], Made]] = {
    "pretrain": _pretrain,
    "weights": _weights,
    "knn": _knn,
    "finetune": _transfer,
    "frozen": _transfer,
    "few": _transfer,
    "difference": _difference,
    "tsne": _tsne,
    "cam": _cam,
}
