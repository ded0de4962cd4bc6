"""The model card, written from what an export holds alone: first the use, then the limits, then the figures."""

import json
import textwrap
from typing import Any

from dermssl import __version__
from dermssl.hub.front_matter import front_matter
from dermssl.hub.markdown import code, fenced, text
from dermssl.hub.results import figures_section, results_section
from dermssl.hub.terms import citation, licence, limits
from dermssl.hub.training_section import count, data_section, images_used, training_section


def card(config: dict[str, Any], name: str) -> str:
    """The text of ``README.md``.

    Args:
        config: of an export, as ``read_export`` gives it: timm's fields, and the whole record under ``dermssl``.
        name: ``ORG/NAME`` on the Hub; a name without ORG is shown as ``ORG/NAME``, to be filled in by ``push``.
    """
    record = config["dermssl"]
    short = name.rpartition("/")[2]
    sections = [
        _title(config, record, short),
        _use(config, name if "/" in name else f"ORG/{name}"),
        limits(record),
        licence(record),
        results_section(record),
        *([figures_section(record["figures"])] if record["figures"] else []),
        data_section(record),
        training_section(config, record),
        citation(record),
    ]
    return f"---\n{front_matter(config, short)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _title(config: dict[str, Any], record: dict[str, Any], name: str) -> str:
    training, planned = record["training"], record["settings"].get("epochs")
    of = f" of {text(planned)}" if planned else ""
    stopped = f"\n\n**The training was not finished**: {training.get('epochs')}{of} epochs."
    unfinished = "" if training.get("finished") else stopped
    version = text(record["versions"].get("dermssl", __version__))
    return (
        f"# {text(name)}\n\n"
        f"A {code(config['architecture'])} backbone pretrained without labels on {count(images_used(record))} "
        f"dermoscopy images ({text(record['data']['name'])}) by dermssl {version}. It turns an image into a vector of "
        f"features and has no classifier. timm loads it with one line; nothing else is needed.{unfinished}"
    )


def _use(config: dict[str, Any], repository: str) -> str:
    cfg = config["pretrained_cfg"]
    name = json.dumps(f"hf-hub:{repository}")  # a folder's name must not become a program
    short = f"import timm\n\nmodel = timm.create_model({name}, pretrained=True, num_classes=7)"
    more = textwrap.dedent(
        f"""\
        import timm
        import torch
        from PIL import Image

        name = {name}

        # embeddings: one vector per image
        model = timm.create_model(name, pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
        with torch.inference_mode():
            embedding = model(transform(Image.open("image.jpg").convert("RGB")).unsqueeze(0))

        # features: the maps of every level, for segmentation or detection
        model = timm.create_model(name, pretrained=True, features_only=True)
        """
    )
    size = cfg["input_size"][-1]
    return (
        f"## Use\n\n{fenced(short, 'python')}\n\n"
        "This puts a new, untrained classifier on the backbone, to be fine-tuned. "
        f"Embeddings and feature maps:\n\n{fenced(more, 'python')}\n\n"
        f"The preprocessing is in the model's configuration and must be used: {size} x {size} px "
        f"({'the whole image, squashed' if cfg['crop_mode'] == 'squash' else 'the middle square'}), "
        f"mean {_numbers(cfg['mean'])}, std {_numbers(cfg['std'])}."
    )


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
