"""Does the framing give a turn away? A rotation network on 4:3 photographs, its views cropped in four ways.

    python tests/benchmarks/axis_from_framing.py HAM10000 [--images 4000] [--unseen 2000] [--epochs 8] [--seeds 0,1]

Each image's middle 256 x 192 (of 256 x 256) is taken for the photograph. The network is trained as ``dermssl pretrain
--method rotation --rotation-activation none --recipe short`` does, on the same photographs

1. squashed, and cropped as if they were square (dermssl 0.1.0),
2. squashed, and cropped in their own geometry, anywhere in the photograph,
3. squashed, and cropped in their own geometry, within the middle square: what ``dermssl pretrain`` does with a view
   whose turn is to be told,
4. with the middle square cut out (``--fit crop``),

and then tells the turns of new views of photographs that it has not seen. What counts is how often the axis is right,
0 or 180 degrees against 90 or 270: a lesion has no up, so that the fourth is what skin, hair and light tell, and more
is what the framing tells.
"""

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from dermssl.backbones.create import create_backbone
from dermssl.data import augment
from dermssl.data.cache import Cache, source_size
from dermssl.data.loader import Loader
from dermssl.data.prepare import prepare
from dermssl.data.read import read_records
from dermssl.devices import hardware_name
from dermssl.malloc import keep_freed_memory
from dermssl.pretraining.build import build_trainer
from dermssl.pretraining.config import make_config
from dermssl.pretraining.decided import batch_size, resolve
from dermssl.pretraining.trainer import Trainer

CPU = torch.device("cpu")
ROUNDS = 4  # of new views of each unseen photograph
CROPS: Callable[..., augment.ViewParameters] = augment.parameters_from


@functools.wraps(CROPS)
def anywhere(*args: object, told: bool, **options: object) -> augment.ViewParameters:
    """Crops anywhere in the photograph, told or not."""
    return CROPS(*args, **options)


def cut(data: str, folder: Path, count: int) -> None:
    """``count`` photographs of 4:3, drawn at random, without loss."""
    paths = read_records(data).paths
    for index in tqdm(np.random.default_rng(0).permutation(len(paths))[:count], desc="cutting"):
        with Image.open(paths[index]) as image:
            left, top = (image.width - 256) // 2, (image.height - 192) // 2
            image.convert("RGB").crop((left, top, left + 256, top + 192)).save(folder / f"{paths[index].stem}.png")


def train(cache: Cache, aspects: np.ndarray | None, rows: np.ndarray, seed: int, args: argparse.Namespace) -> Trainer:
    config = make_config(
        method="rotation", rotation_activation="none", recipe="short", epochs=args.epochs, image_size=args.image_size,
        seed=seed, device="cpu",
    )  # fmt: skip
    backbone = create_backbone(config.backbone, image_size=config.image_size, seed=config.seed)
    loader = Loader(cache.images[rows], batch_size(config, CPU), seed=config.seed, device=CPU)
    resolved = resolve(config, loader, backbone, torch.float32)
    trainer = build_trainer(
        config, resolved, backbone, loader, torch.float32, None if aspects is None else aspects[rows]
    )
    for _ in range(args.epochs):
        trainer.train_epoch(lambda: False, lambda losses: None)
        trainer.finish_epoch()
    return trainer


@torch.no_grad()
def tell(trainer: Trainer, cache: Cache, aspects: np.ndarray | None, rows: np.ndarray) -> tuple[float, float]:
    """Shares of new views of the photographs at ``rows`` whose axis, and whose turn, the network tells."""
    trainer.task.eval()
    views = trainer.views
    views.generator.manual_seed(12345)
    views._aspects = None if aspects is None else torch.from_numpy(aspects[rows]).float()
    axis, turn = [], []
    for _ in range(ROUNDS):
        for some in np.array_split(np.arange(len(rows)), -(-len(rows) // 250)):
            inputs, turns = views(torch.from_numpy(cache.images[rows[some]]), torch.from_numpy(some))
            answers = trainer.task(inputs, turns)["output"].argmax(1)
            axis.append((answers % 2 == turns % 2).float())
            turn.append((answers == turns).float())
    return float(torch.cat(axis).mean()), float(torch.cat(turn).mean())


def main(args: argparse.Namespace) -> None:
    print(f"{hardware_name(CPU)}, torch {torch.__version__}; {args}", flush=True)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "photographs").mkdir()
        cut(args.data, folder / "photographs", args.images + args.unseen)
        size = source_size(args.image_size)
        squashed = prepare(folder / "photographs", folder / "squash", size=size, fit="squash")
        square = prepare(folder / "photographs", folder / "crop", size=size, fit="crop")
        seen, unseen = np.split(np.random.default_rng(1).permutation(len(squashed.images)), [args.images])
        for seed in map(int, args.seeds.split(",")):
            for name, cache, aspects, crops in (
                ("squashed, cropped as if square", squashed, None, CROPS),
                ("in its geometry, anywhere", squashed, squashed.aspects, anywhere),
                ("in its geometry, within the middle", squashed, squashed.aspects, CROPS),
                ("the middle square", square, square.aspects, CROPS),
            ):
                augment.parameters_from = crops
                axis, turn = tell(train(cache, aspects, np.sort(seen), seed, args), cache, aspects, unseen)
                error = 100 * (axis * (1 - axis) / len(unseen)) ** 0.5  # views of a photograph are not independent
                print(
                    f"seed {seed}  {name:34} axis {100 * axis:.1f} % (standard error {error:.1f})   "
                    f"turn {100 * turn:.1f} %",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--unseen", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--seeds", default="0,1")
    main(parser.parse_args())
