"""``demo``: the whole way in under two minutes, on drawn images: pretrain, evaluate, report."""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermssl.backbones.create import create_backbone
from dermssl.backbones.facts import pretrained_cfg
from dermssl.data.augment import TwoViews
from dermssl.data.cache import Cache
from dermssl.data.prepare import evaluated
from dermssl.data.synthetic import write_synthetic
from dermssl.errors import DermsslError
from dermssl.evaluation.compare import Comparison, compare
from dermssl.evaluation.features import extract_features
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.report import Report
from dermssl.pretraining.config import make_config
from dermssl.pretraining.run import PretrainResult, pretrain
from dermssl.reporting import page
from dermssl.reporting.figures import loss_curves

LOGGER = logging.getLogger("dermssl")

IMAGES = 1000
OPTIONS: dict[str, Any] = {
    "backbone": "resnet18",
    "recipe": "short",
    "image_size": 48,
    "epochs": 14,
    "batch_size": 64,
    "queue_size": 512,
    "crop_scale": 0.5,  # at 48 px a smaller part of a lesion shows little of it
    "device": "auto",
}
SHOWN = 6  # neighbours on the page
NEIGHBOURS = 10  # k of the KNN: a hundred neighbours of a thousand images would outvote the small classes

NEXT = """\
# 1. pretrain on any folder of dermoscopy images; on a GPU leave out --recipe, --image-size and --epochs
dermssl pretrain IMAGES --output runs/first --recipe short --image-size 64 --epochs 20
# 2. what it learned, on labelled images (a HAM10000 or ISIC download, a folder per class, a CSV) ...
dermssl eval-knn runs/first LABELLED_IMAGES
# ... beside ImageNet weights
dermssl eval-knn timm:resnet18.a1_in1k LABELLED_IMAGES --image-size 64
# 3. a classifier for timm
dermssl finetune runs/first LABELLED_IMAGES --output classifier"""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        report: the HTML page.
        run: the run directory.
        history: of the run, one dict for each epoch.
        pretrained, random: KNN reports of the pretrained and of the untrained backbone.
        difference: the first minus the second, paired.
        seconds: how long this call took.
    """

    report: Path
    run: Path
    history: list[dict[str, Any]]
    pretrained: Report
    random: Report
    difference: Comparison
    seconds: float

    @property
    def rotation_accuracy(self) -> float:
        """Share of the turned views of the last epoch whose turn the network told; guessing is 0.25."""
        return self.history[-1]["rotation_accuracy"]


def demo(output: str | Path = "dermssl-demo") -> DemoResult:
    """Draw dermoscopy-like images, pretrain on them without labels, compare with an untrained backbone by KNN.

    Args:
        output: folder for the images, the run and ``report.html``. A second call continues from what is there.

    Returns:
        DemoResult.

    Raises:
        DermsslError: ``output`` cannot be written, or holds other images or another run.
    """
    started = time.perf_counter()
    folder = Path(output)
    images = _draw_images(folder)
    result = pretrain(images, folder / "run", **OPTIONS)
    size = OPTIONS["image_size"]
    labelled = evaluated(images, image_size=size)
    pretrained = evaluate_knn(result.run, labelled, k=NEIGHBOURS)
    random = evaluate_knn(f"random:{OPTIONS['backbone']}", labelled, k=NEIGHBOURS, image_size=size)
    difference = compare(random, pretrained)
    report = folder / "report.html"
    _write_report(report, result, labelled, pretrained, random, difference)
    return DemoResult(report, result.run, result.history, pretrained, random, difference, time.perf_counter() - started)


def _draw_images(folder: Path) -> Path:
    """The images, drawn beside their place and then moved there: a demo stopped meanwhile can be called again."""
    place, partial = folder / "images", folder / ".images.part"
    try:
        if not place.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            write_synthetic(partial, images=IMAGES, size=64, seed=0, upright=True).rename(place)
    except OSError as error:
        raise DermsslError(f"--output {folder}: cannot be written ({error.strerror}); name another folder") from error
    return write_synthetic(place, images=IMAGES, size=64, seed=0, upright=True)  # drawn by another version: says so


def _write_report(
    path: Path, result: PretrainResult, labelled: Cache, pretrained: Report, random: Report, difference: Comparison
) -> None:
    better, base = pretrained.metrics["accuracy"], random.metrics["accuracy"]
    low, high = (100 * edge for edge in difference.interval["accuracy"])
    last = result.history[-1]
    seconds = sum(line["seconds"] for line in result.history)  # of the run, also where this call only found it
    page.write_html(
        path,
        "dermssl: a first look",
        f"A ResNet18 was pretrained without labels on {len(labelled.images)} drawn images in {seconds:.0f} seconds. "
        f"Its nearest neighbours then name the class of {better:.1%} of the images, those of an untrained ResNet18 "
        f"{base:.1%} (95 % interval of the difference: {low:+.1f} to {high:+.1f} points); always answering the "
        f"most frequent class is right for {pretrained.majority_accuracy:.1%}. For {last['rotation_accuracy']:.0%} of "
        "the views it also tells by how many quarter turns they were turned; guessing is right for 25 %.",
        [
            ("Nearest neighbours against an untrained network", [_metrics_table(pretrained, random, difference)]),
            ("Pretraining", [_curve(result)]),
            ("What the network was shown", [_sample_views(labelled, result.backbone)]),
            ("What it finds similar", _neighbours(labelled, result.backbone)),
            (
                "Next: your own images",
                [page.code(NEXT), page.prose("The images above are drawn by a program: no figure here says anything "
                                             "about skin. Results on real images are in the README.")],
            ),
        ],
    )  # fmt: skip


def _metrics_table(pretrained: Report, random: Report, difference: Comparison) -> str:
    rows = [
        ("accuracy", "accuracy"),
        ("balanced accuracy", "recall_macro"),
        ("F1, macro", "f1_macro"),
        ("AUROC, macro", "auroc_macro"),
    ]
    body = []
    for label, name in rows:
        low, high = (100 * edge for edge in difference.interval[name])
        gain = f"{100 * difference.difference[name]:+.1f} [{low:+.1f},\u00a0{high:+.1f}]"
        body.append([label, *(f"{100 * report.metrics[name]:.1f}" for report in (random, pretrained)), gain])
    body.append(
        ["accuracy of always predicting the most frequent class", *[f"{100 * random.majority_accuracy:.1f}"] * 2, ""]
    )
    return page.table(
        ["%", "untrained", "pretrained", "difference, points"],
        body,
        f"KNN, k = {NEIGHBOURS}, mean of 5 folds; all images of a lesion are in one fold. In brackets: bootstrap 95 % "
        "interval of the difference over the lesions.",
    )


def _curve(result: PretrainResult) -> str:
    last = result.history[-1]
    full = [line for line in result.history if line["step"] * OPTIONS["batch_size"] > OPTIONS["queue_size"]]
    shown = full[1:] if len(full) > 1 else result.history
    caption = (
        f"{last['epoch']} epochs, {last['images_per_second']:.0f} images/s in the last; shown from the epoch on in "
        "which the queue of negatives is full. A rotation accuracy of 0.25 is guessing."
    )
    return page.plots(loss_curves(shown), caption)


def _sample_views(labelled: Cache, backbone: nn.Module) -> str:
    """An image, its two views and the turn to predict, for some images."""
    cfg = pretrained_cfg(backbone)
    views = TwoViews(
        OPTIONS["image_size"],
        make_config(**OPTIONS),
        tuple(cfg["mean"]),
        tuple(cfg["std"]),
        torch.Generator().manual_seed(0),
    )
    chosen = np.random.default_rng(0).choice(len(labelled.images), 7, replace=False)
    images = np.ascontiguousarray(labelled.images[chosen])
    (query, key), turns = views(torch.from_numpy(images))
    mean, std = (torch.tensor(cfg[name])[:, None, None] for name in ("mean", "std"))

    def pixels(view: torch.Tensor) -> np.ndarray:
        return (255 * (view * std + mean)).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

    rows = [
        ("image", [page.Picture(image, "drawn image") for image in images]),
        (
            "query view",
            [
                page.Picture(pixels(view), f"its query view, turned by {90 * int(turn)} degrees", f"{90 * int(turn)}°")
                for view, turn in zip(query, turns, strict=True)
            ],
        ),
        ("key view", [page.Picture(pixels(view), "its key view") for view in key]),
    ]
    return page.picture_rows(
        rows,
        "The network must match the query to the key of the same image among the keys of others, and say by how much "
        "the query was turned.",
    )


def _neighbours(labelled: Cache, backbone: nn.Module) -> list[str]:
    """For one image of each class, the nearest images of other lesions before and after the pretraining."""
    records, size = labelled.records, OPTIONS["image_size"]
    untrained = create_backbone(OPTIONS["backbone"], image_size=size)
    groups = np.array(records.groups if records.groups is not None else range(len(records)))
    generator = np.random.default_rng(0)
    queries = [generator.choice(np.flatnonzero(records.labels == number)) for number in range(len(records.classes))]
    rows, same = [], {}
    for name, network in (("untrained", untrained), ("pretrained", backbone)):
        features = torch.from_numpy(extract_features(network, labelled.images, image_size=size))
        features = torch.nn.functional.normalize(features, dim=1)
        of_network = [_nearest(labelled, features, groups, query) for query in queries]
        same[name] = sum(picture.marked for pictures in of_network for picture in pictures)
        rows += [(number, name, pictures) for number, pictures in enumerate(of_network)]
    pictured = []
    for number, name, pictures in sorted(rows, key=lambda row: row[0]):  # before above after, class by class
        label = records.classes[number]
        image = page.Picture(labelled.images[queries[number]], f"a {label}", label)
        pictured.append((f"{label}, {name}", [image, *pictures]))
    counts = f"{same['untrained']} of {SHOWN * len(queries)} before, {same['pretrained']} after"
    return [
        page.picture_rows(
            pictured,
            "First an image drawn at random from each class, then its nearest neighbours among the other lesions, "
            f"before and after the pretraining; those of the same class are framed ({counts}).",
        )
    ]


def _nearest(labelled: Cache, features: torch.Tensor, groups: np.ndarray, query: int) -> list[page.Picture]:
    records = labelled.records
    similarity = (features @ features[query]).numpy()
    similarity[groups == groups[query]] = -2  # other photographs of this lesion would be too easy
    pictures = []
    for i in np.argsort(-similarity)[:SHOWN]:
        label = records.classes[records.labels[i]]
        alike = bool(records.labels[i] == records.labels[query])
        pictures.append(page.Picture(labelled.images[i], f"neighbour, {label}", label, marked=alike))
    return pictures
