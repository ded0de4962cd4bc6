"""The recipe of the published ResNet18, one change at a time: what a change is worth at equal time.

    python tests/benchmarks/published_weights/recipe.py IMAGES HAM10000/ base stage3 ... --output DIR \\
        [--epochs 8] [--seed 0]

Each name is a change of `CHANGES`; `base` is none. A run has as many epochs as fit into the time of ``--epochs`` of
the base, by the cost of a step of the change. It is trained at 64 px, then evaluated in lesion folds by nearest
neighbours and by a linear classifier on frozen features. Prints a Markdown row for each, with the differences from the
base's where that is in DIR, paired over lesions. Set OMP_NUM_THREADS=1 and run two at a time on two cores.

Most changes are options; the others are tried as patches, and none of these is an option of the package.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

import dermssl
from dermssl.data import augment
from dermssl.methods import heads, momentum, two_heads

WIDTH = 512  # of ResNet18's features
BASE = {
    "recipe": "short",
    "batch_size": 128,
    "image_size": 64,
    "fit": "crop",
    "rotation_weight": 0.5,
    "queue_size": 1024,
    "momentum": 0.99,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.05,
    "grayscale": 0.1,
    "workers": 1,
}


def two_keys() -> None:
    """The key is the mean of those of two views (FastSiam, Pototzky et al. 2022, averages its targets)."""
    one = momentum.MomentumEncoder.forward

    def views(self: Any, images: Tensor, aspects: Tensor | None, *draws: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        pixels = images.permute(0, 3, 1, 2).float().contiguous()
        query = self._drawn(draws[0], aspects, turned=self.rotate_query)
        further = torch.rand(draws[1].shape, generator=self.generator)
        keys = [self._render(pixels, self._drawn(u, aspects)) for u in (draws[1], further)]
        return (self._render(pixels, query), torch.cat(keys, 1)), query.turns

    def mean(self: Any, images: Tensor, output: str = "embed") -> Tensor:
        views = [view.contiguous(memory_format=torch.channels_last) for view in images.chunk(2, 1)]
        return sum(F.normalize(one(self, view, output).float(), dim=1) for view in views)  # type: ignore[return-value]

    augment.TwoViews._views = views  # type: ignore[method-assign]
    momentum.MomentumEncoder.forward = mean  # type: ignore[method-assign]


def _heads(change: Callable[[Any, int], None]) -> None:
    made = two_heads.TwoHeadEncoder.__init__

    def init(self: Any, backbone: nn.Module, embedding_dim: int, **options: Any) -> None:
        made(self, backbone, embedding_dim, **options)
        change(self, embedding_dim)

    two_heads.TwoHeadEncoder.__init__ = init  # type: ignore[method-assign]


def wide_head() -> None:
    """2,048 hidden units in the instance head."""

    def change(encoder: Any, embedding_dim: int) -> None:
        encoder.instance_head = heads.mlp_head(WIDTH, embedding_dim, 2048)

    _heads(change)


def layer_norm() -> None:
    """LayerNorm instead of BatchNorm in the rotation head."""

    def change(encoder: Any, embedding_dim: int) -> None:
        encoder.rotation_head[1] = nn.LayerNorm(WIDTH)

    _heads(change)


def stage3() -> None:
    """The rotation head on the third of the four stages."""

    def change(encoder: Any, embedding_dim: int) -> None:
        encoder.rotation_head = heads.mlp_head(WIDTH // 2, 4, WIDTH // 2)

    def forward(self: Any, images: Tensor, turned: None = None, beside: None = None) -> tuple[Tensor, Tensor]:
        net = self.backbone
        third = net.layer3(net.layer2(net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(images)))))))
        features = net.global_pool(net.layer4(third))
        return self.instance_head(features), self.rotation_head(third.mean((2, 3)))

    _heads(change)
    two_heads.TwoHeadEncoder.forward = forward  # type: ignore[method-assign,assignment]


def blur() -> None:
    """Half of the views blurred, by 0.3 to 1.2 px."""
    make = augment.TwoViews._views

    def views(self: Any, *arguments: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        sharp, turns = make(self, *arguments)
        blurred = []
        for view in sharp:
            u = torch.rand(len(view) + 1, generator=self.generator)
            chosen = (u[1:] < 0.5)[:, None, None, None]
            blurred.append(torch.where(chosen, gaussian_blur(view, 5, 0.3 + 0.9 * float(u[0])), view))
        return tuple(blurred), turns

    augment.TwoViews._views = views  # type: ignore[method-assign]


class Change(NamedTuple):
    """Options that differ from the base's, a patch, and the cost of a step in steps of the base."""

    options: Mapping[str, Any] = MappingProxyType({})
    patch: Callable[[], None] | None = None
    cost: float = 1.0


MOCO = {"method": "moco", "rotation_weight": None}
BRIGHT = {"brightness": 0.4, "contrast": 0.4}
COLOUR = {"hue": 0.02, "grayscale": 0.0}  # a view keeps its colour, nearly
CHANGES = {
    "base": Change(),
    "moco": Change(MOCO),
    "keys2": Change(patch=two_keys, cost=1.25),
    "stage3": Change(patch=stage3),
    "layernorm": Change(patch=layer_norm),
    "wide": Change({"embedding_dim": 256}, wide_head),
    "blur": Change(patch=blur),
    "batch256": Change({"batch_size": 256, "queue_size": 4096}),
    "scale0.4": Change({"crop_scale": 0.4}),
    "momentum0.996": Change({"momentum": 0.996}),
    "weight1": Change({"rotation_weight": 1.0}),
    "logits0.1": Change({"rotation_weight": 0.1, "rotation_activation": "none"}),
    "relative": Change({"rotation_task": "relative"}),
    "crop": Change({"rotation_task": "crop", "rotation_weight": 0.4}, cost=1.14),
    "full": Change({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2}),
    "bright": Change(BRIGHT),
    "nogrey": Change({"grayscale": 0.0}),
    "nogrey-keys2": Change({"grayscale": 0.0}, two_keys, cost=1.25),
    "colour": Change(COLOUR),
    "colour-moco": Change(MOCO | COLOUR),
    "colour-bright": Change(BRIGHT | COLOUR),
    "colour-bright-keys2": Change(BRIGHT | COLOUR, two_keys, cost=1.25),
    "hue0": Change(COLOUR | {"hue": 0.0}),
    "hue0-saturation0": Change(COLOUR | {"hue": 0.0, "saturation": 0.0}),
}
EVALUATIONS = {"knn": partial(dermssl.evaluate_knn, k=100), "frozen": partial(dermssl.finetune, freeze=True)}


def train(name: str, images: str, run: Path, epochs: int, seed: int) -> None:
    """One run, in this process, which is patched for it."""
    change = CHANGES[name]
    if change.patch:
        change.patch()
    options = {key: value for key, value in {**BASE, **change.options}.items() if value is not None}
    dermssl.pretrain(images, run, epochs=epochs, seed=seed, **options)


def evaluate(run: Path, data: str) -> dict[str, dermssl.Report]:
    """The reports of a run, made where they are missing."""
    (run / "evaluations").mkdir(exist_ok=True)
    reports = {}
    for name, evaluation in EVALUATIONS.items():
        file = run / "evaluations" / f"{name}.json"
        if not file.exists():
            evaluation(run, data).save(file)
        reports[name] = dermssl.Report.load(file)
    return reports


def row(name: str, run: Path, reports: dict[str, dermssl.Report], base: dict[str, dermssl.Report] | None) -> str:
    """A line of the table."""
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    turned = metrics[-1].get("rotation_accuracy")
    cells = [name, str(len(metrics)), f"{sum(epoch['seconds'] for epoch in metrics):.0f} s"]
    cells.append("" if turned is None else f"{100 * turned:.1f}")
    for kind, report in reports.items():
        cells.append(" / ".join(f"{100 * report.metrics[metric]:.1f}" for metric in ("accuracy", "balanced_accuracy")))
        if base is None or name == "base":
            cells += ["", ""]
            continue
        gain = dermssl.compare(base[kind], report)
        for metric in ("accuracy", "balanced_accuracy"):
            low, high = (100 * end for end in gain.interval[metric])
            cells.append(f"{100 * gain.difference[metric]:+.2f} ({low:.2f} to {high:.2f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("labelled")
    parser.add_argument("changes", nargs="+", choices=sorted(CHANGES), metavar="CHANGE")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def place(name: str) -> tuple[Path, int]:
        epochs = max(1, math.floor(arguments.epochs / CHANGES[name].cost))
        return arguments.output / f"{name}-s{arguments.seed}-e{epochs}", epochs

    if arguments.train_only:
        train(arguments.changes[0], arguments.images, *place(arguments.changes[0]), arguments.seed)
        return
    gains = "accuracy | balanced accuracy"
    print(f"| change | epochs | time | rotation, % | KNN | {gains} | linear | {gains} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in arguments.changes:
        more = [arguments.images, arguments.labelled, name, "--output", str(arguments.output), "--train-only"]
        more += ["--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
        subprocess.run([sys.executable, __file__, *more], check=True, stdout=sys.stderr)
        run, base = place(name)[0], place("base")[0]
        known = evaluate(base, arguments.labelled) if base.exists() else None
        print(row(name, run, evaluate(run, arguments.labelled), known), flush=True)


if __name__ == "__main__":
    main()
