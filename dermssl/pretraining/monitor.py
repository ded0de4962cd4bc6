"""What a run says of itself while it goes on."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from dermssl import distributed
from dermssl.data.cache import Cache
from dermssl.errors import DermsslError
from dermssl.evaluation.knn import evaluate_knn
from dermssl.evaluation.labelled import open_labelled
from dermssl.evaluation.protocol import make_protocol
from dermssl.pretraining.decided import Resolved
from dermssl.pretraining.trainer import Trainer
from dermssl.progress import progress_bar

LOGGER = logging.getLogger("dermssl")

# Of the numbers of an epoch those that its line does not list by name.
SAID_APART = ("epoch", "step", "lr", "images_per_second", "seconds")


@contextlib.contextmanager
def run_progress(trainer: Trainer) -> Iterator[Callable[[dict[str, float]], None]]:
    """How far the whole run is, in images, with the losses; shown by the main process alone.

    Yields:
        a function to call after every step, with the losses to show.
    """
    epochs, batch = trainer.config.epochs, trainer.loader.batch_size
    total, done = trainer.total_steps * batch, trainer.step * batch
    with progress_bar(total, "pretraining", "images", start=done, shown=distributed.is_main()) as bar:

        def show(losses: dict[str, float]) -> None:
            note = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in losses.items())
            bar.update(batch, note, f"epoch {min(trainer.epoch + 1, epochs)}/{epochs}")

        yield show


def describe_epoch(metrics: dict[str, Any], epochs: int) -> str:
    """One line: losses, accuracies, speed, time left."""
    parts = ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items() if name not in SAID_APART
    )
    left = (epochs - metrics["epoch"]) * metrics["seconds"]
    return (
        f"epoch {metrics['epoch']}/{epochs}: {parts}, {metrics['images_per_second']:.0f} img/s, "
        f"{left // 60:.0f}:{left % 60:02.0f} left"
    )


class OnlineKnn:
    """KNN in five folds of labelled images while a run goes on.

    Args:
        labelled: the images, with their labels.

    Raises:
        DermsslError: they cannot be evaluated: no labels, one class, fewer lesions than folds.
    """

    def __init__(self, labelled: Cache, resolved: Resolved) -> None:
        images = open_labelled(labelled, image_size=resolved.image_size, fit=labelled.fit, option="--eval-data")
        try:
            protocol = make_protocol(images)
        except DermsslError as error:
            why = str(error).removesuffix("; lower --folds")  # which pretraining does not have
            raise DermsslError(f"--eval-data {images.source}: cannot be evaluated in folds: {why}") from error
        self.labelled, self.resolved = labelled, resolved
        self.k = min(100, *(max(1, len(fold.train) // 2) for fold in protocol.rounds))

    def evaluate(self, backbone: nn.Module) -> dict[str, float]:
        """Accuracies of the backbone's features, beside that of always predicting the most frequent class."""
        size, device = self.resolved.image_size, self.resolved.device
        report = evaluate_knn(backbone, self.labelled, k=self.k, image_size=size, fit=self.labelled.fit, device=device)
        return {
            "knn_accuracy": report.metrics["accuracy"],
            "knn_balanced_accuracy": report.metrics["balanced_accuracy"],
            "knn_majority_accuracy": report.majority_accuracy,
        }
