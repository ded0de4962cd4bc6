"""Self-supervised pretraining of timm backbones on unlabelled dermoscopy images.

The names in ``__all__`` are the public interface; everything else is private. Each is imported on first use,
so that ``import dermssl`` and ``dermssl --help`` do not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_HOMES = {
    "DermsslError": "dermssl.errors",
    "PretrainResult": "dermssl.pretraining.run",
    "Report": "dermssl.evaluation.report",
    "RotInstDisc": "dermssl.methods.rotinstdisc",
    "class_activation": "dermssl.evaluation.cam",
    "compare": "dermssl.evaluation.compare",
    "demo": "dermssl.demonstration",
    "embed": "dermssl.evaluation.embed",
    "evaluate_knn": "dermssl.evaluation.knn",
    "export": "dermssl.hub.export",
    "fewshot": "dermssl.evaluation.fewshot",
    "finetune": "dermssl.evaluation.finetune",
    "leakage": "dermssl.evaluation.leakage.search",
    "load_backbone": "dermssl.backbones.load",
    "prepare": "dermssl.data.prepare",
    "pretrain": "dermssl.pretraining.run",
    "project": "dermssl.evaluation.projection",
    "push": "dermssl.hub.push",
    "reproduce": "dermssl.paper.run",
    "write_page": "dermssl.reporting.pages",
}

__all__ = [
    "DermsslError",
    "PretrainResult",
    "Report",
    "RotInstDisc",
    "class_activation",
    "compare",
    "demo",
    "embed",
    "evaluate_knn",
    "export",
    "fewshot",
    "finetune",
    "leakage",
    "load_backbone",
    "prepare",
    "pretrain",
    "project",
    "push",
    "reproduce",
    "write_page",
]

if TYPE_CHECKING:
    from dermssl.backbones.load import load_backbone
    from dermssl.data.prepare import prepare
    from dermssl.demonstration import demo
    from dermssl.errors import DermsslError
    from dermssl.evaluation.cam import class_activation
    from dermssl.evaluation.compare import compare
    from dermssl.evaluation.embed import embed
    from dermssl.evaluation.fewshot import fewshot
    from dermssl.evaluation.finetune import finetune
    from dermssl.evaluation.knn import evaluate_knn
    from dermssl.evaluation.leakage.search import leakage
    from dermssl.evaluation.projection import project
    from dermssl.evaluation.report import Report
    from dermssl.hub.export import export
    from dermssl.hub.push import push
    from dermssl.methods.rotinstdisc import RotInstDisc
    from dermssl.paper.run import reproduce
    from dermssl.pretraining.run import PretrainResult, pretrain
    from dermssl.reporting.pages import write_page


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dermssl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
