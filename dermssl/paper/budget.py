"""From what was asked to what is done: open settings filled in, and the output folder held to them."""

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dermssl.backbones.create import create_backbone
from dermssl.data.cache import Cache, source_size
from dermssl.data.prepare import cached, evaluated
from dermssl.devices import resolve_device
from dermssl.documents import MissingDocument, read_json
from dermssl.errors import DermsslError
from dermssl.evaluation.recipes import RECIPES
from dermssl.files import is_partial, refuse_unwritable_folder, write_text
from dermssl.options import make_options
from dermssl.paper.images import labelled_share
from dermssl.paper.numbers import QUEUE
from dermssl.paper.settings import Settings
from dermssl.pretraining.config import PretrainConfig, make_config
from dermssl.pretraining.decided import batch_size, image_size

FILE = "settings.json"
NEIGHBOURS = 100
OTHER = "name another --output"
_DATA = {"source": str, "images": int, "labelled": int, "content_hash": str}
STORED = {"asked": dict, "resolved": {"image_size": int, "epochs": int}, "data": {"pretrain": _DATA, "eval": _DATA}}


@dataclass(frozen=True)
class Budget:
    """What a reproduction is done with.

    Attributes:
        settings: resolved.
        images: that are pretrained on.
        labelled: the images of all evaluations.
    """

    settings: Settings
    images: int
    labelled: Cache


def refuse_foreign(output: Path) -> None:
    """Say that no reproduction can be in ``output`` before anything, a lock for one, is written there.

    Raises:
        DermsslError: it is a file, cannot be written, or holds something else.
    """
    refuse_unwritable_folder(output, "--output")
    _stored(output)


def open_budget(
    asked: Settings, pretrain_data: str | Path, eval_data: str | Path, output: Path, *, device: str, progress: bool
) -> Budget:
    """Open the data sets, resolve the settings and write them to ``output``; or take those that stand there.

    Raises:
        DermsslError: the output was made with other settings or other images, or a setting cannot be met.
    """
    stored = _stored(output)
    if stored:
        _refuse_others(output, stored["asked"], asdict(asked))
    config = make_config(**asked.pretraining())
    size = stored["resolved"]["image_size"] if stored else image_size(config, create_backbone(config.backbone))
    pool = cached(pretrain_data, size=source_size(size), progress=progress)
    # framed as the runs will be: a prepared cache has its own fit
    labelled = dataclasses.replace(
        evaluated(eval_data, image_size=size, fit=pool.fit, progress=progress),
        views=cached(eval_data, size=source_size(size), fit=pool.fit, progress=progress),
    )
    found = {"pretrain": _about(pool), "eval": _about(labelled)}
    if not found["eval"]["labelled"]:
        raise DermsslError(f"--eval-data {eval_data}: none of its images carries a label")
    images = min(len(pool.images), asked.limit or len(pool.images))
    if stored:
        for name, option in (("pretrain", "--pretrain-data"), ("eval", "--eval-data")):
            if stored["data"][name]["content_hash"] != found[name]["content_hash"]:
                raise DermsslError(
                    f"{option}: --output {output} was made with other images ({stored['data'][name]['source']}); "
                    "give the same ones, or name another --output"
                )
        settings = Settings(**stored["resolved"])
    else:
        eval_images = min(found["eval"]["labelled"], asked.eval_limit or asked.limit or len(labelled.images))
        settings = resolve(asked, config, size, images=images, eval_images=eval_images, device=device)
        content = {"asked": asdict(asked), "resolved": asdict(settings), "data": found}
        write_text(output / FILE, json.dumps(content, indent=1) + "\n")
    return Budget(settings, images, labelled_share(labelled, settings.eval_limit, seed=settings.seed))


def resolve(
    asked: Settings, config: PretrainConfig, size: int, *, images: int, eval_images: int, device: str
) -> Settings:
    """Fill in what the settings leave open.

    Args:
        config: of the pretraining, with its recipe's values.
        size: edge of the images in pixels.
        images: that are pretrained on.
        eval_images: that carry labels.
    """
    recipe = RECIPES[asked.finetune_recipe]
    return dataclasses.replace(
        asked,
        epochs=config.epochs,
        image_size=size,
        batch_size=min(images, batch_size(config, resolve_device(device))),
        queue_size=asked.queue_size or min(QUEUE, 2 ** (images.bit_length() - 1)),
        eval_limit=asked.eval_limit or asked.limit,
        k=asked.k or min(NEIGHBOURS, max(1, eval_images // 4)),
        # a trial with few passes of pretraining would otherwise spend all its time on fine-tuning
        finetune_epochs=asked.finetune_epochs or (config.epochs if config.epochs < recipe.epochs else None),
        imagenet=asked.imagenet_weights,
    )


def read_settings(output: Path) -> dict[str, Any]:
    """What was asked and decided, as the output folder holds it.

    Raises:
        DermsslError: it is missing or damaged.
    """
    return read_json(output / FILE, "the settings of a reproduction", STORED, remedy=OTHER)


def _stored(output: Path) -> dict[str, Any] | None:
    file = output / FILE
    # Looked at before the settings, which are written before all that is foreign without them: another process may do
    # so just now.
    foreign = _holds_others(output)
    try:
        values: dict[str, Any] = read_json(file, "the settings of a reproduction", STORED, remedy=OTHER)
        for part in ("asked", "resolved"):
            try:
                make_options(Settings, values[part], f"{file}: reproduce")
            except DermsslError as error:
                raise DermsslError(f"{file} is damaged ({error}); {OTHER}") from error
        return values
    except MissingDocument:
        pass
    if foreign:
        raise DermsslError(f"--output {output}: holds files, but no {FILE} of a reproduction; name a new folder")
    return None


def _holds_others(output: Path) -> bool:
    """Whether there is more than what a reproduction has before its settings."""
    early = ("locks", "log.txt")
    return output.is_dir() and any(path.name not in early and not is_partial(path) for path in output.iterdir())


def _refuse_others(output: Path, stored: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [
        f"--{name.replace('_', '-')} {_word(stored.get(name))} (now {_word(value)})"
        for name, value in now.items()
        if stored.get(name) != value
    ]
    if differing:
        raise DermsslError(
            f"--output {output} was made with other settings: {', '.join(differing)}. "
            "Give the same ones to continue it, or name another --output"
        )


def _word(value: Any) -> str:
    return "not given" if value is None else str(value)


def _about(cache: Cache) -> dict[str, Any]:
    return {
        "source": Path(cache.records.source).name,  # the folder is handed on
        "images": len(cache.images),
        "labelled": int(np.count_nonzero(cache.records.labels >= 0)),
        "content_hash": cache.content_hash,
    }
