"""Training from a trainer's step to the end of the run, or to a signal: epochs, checkpoints, the backbone."""

import logging
import time
from collections.abc import Callable
from typing import Any

import dermssl
from dermssl import distributed
from dermssl.backbones.save import save_backbone
from dermssl.devices import exact_float32, tuned_for_fixed_shapes
from dermssl.errors import DermsslError
from dermssl.files import own_folder
from dermssl.methods.registry import METHODS
from dermssl.pretraining.checkpoint import save_checkpoint
from dermssl.pretraining.config import PretrainConfig
from dermssl.pretraining.decided import Resolved
from dermssl.pretraining.finite import not_finite
from dermssl.pretraining.monitor import OnlineKnn, describe_epoch, run_progress
from dermssl.pretraining.notices import Forecast, Watch
from dermssl.pretraining.run_directory import RunDirectory
from dermssl.pretraining.signals import StopRequest
from dermssl.pretraining.track import Log, tracked
from dermssl.pretraining.trainer import Diverged, Trainer

LOGGER = logging.getLogger("dermssl")


class Interrupted(DermsslError):
    """The run was asked to stop by a signal and has written a checkpoint."""

    @classmethod
    def by(cls, number: int | None, message: str) -> "Interrupted":
        """The error whose exit status is the signal's, as that of any command; 1 where another process got it."""
        error = cls(message)
        error.exit_status = 1 if number is None else 128 + number
        return error


class Loop:
    """A run that is being trained.

    Args:
        run: where it is written, by the main process alone.
        config, resolved: of the run.
        trainer: at step 0, or where a checkpoint left it.
        identity: what a checkpoint says of the run it belongs to.
        knn: the evaluation on ``--eval-data``; on the main process.
    """

    def __init__(
        self,
        run: RunDirectory,
        config: PretrainConfig,
        resolved: Resolved,
        trainer: Trainer,
        identity: dict[str, Any],
        knn: OnlineKnn | None,
    ) -> None:
        self.run, self.config, self.resolved, self.trainer = run, config, resolved, trainer
        self.identity, self.knn = identity, knn
        self.saved_step: int | None = trainer.step or None
        self.saved_at = time.monotonic()
        self.watch = Watch(trainer, resolved)

    @property
    def finished(self) -> bool:
        """Whether all updates are made."""
        return self.trainer.step >= self.resolved.steps

    def train(self) -> None:
        """Go on to the end, with checkpoints on the way and the backbone written last.

        Raises:
            Interrupted: a signal came; a checkpoint was written.
            DermsslError: the run cannot go on; the last good checkpoint is kept.
        """
        if distributed.from_main(self.finished and self.run.backbone_step() == self.trainer.step):
            LOGGER.info("%s is complete: nothing to do", self.run.path)
            return
        LOGGER.info(
            f"{self.config.method}, {self.config.backbone}: {self.resolved.images} images, {self.config.epochs} epochs "
            f"of {len(self.trainer.loader)} steps, {self.resolved.image_size} px, batch {self.resolved.batch_size}, "
            f"{self.resolved.precision} on {self.resolved.device}"
            + (f", shared by {distributed.world_size()} processes" if distributed.world_size() > 1 else "")
        )
        forecast = Forecast(self.trainer, self.resolved)
        with (
            StopRequest() as stop,
            run_progress(self.trainer) as show,
            tracked(self.config, self.run) as track,
            self.resolved.out_of_memory_named(),
            exact_float32(self.trainer.device, self.trainer.dtype),
            tuned_for_fixed_shapes(),
        ):

            def on_step(losses: dict[str, float]) -> None:
                show(losses)
                forecast.after_step()

            def pause() -> bool:
                return distributed.any_rank(stop.received is not None or self._due())

            stopped = distributed.any_rank(stop.received is not None)
            while not self.finished and not stopped:
                self._train_some(pause, on_step, track)
                stopped = distributed.any_rank(stop.received is not None)
                with distributed.agreed():
                    if distributed.is_main() and (self.finished or stopped or self._due()):
                        self._save()
        with distributed.agreed():
            if distributed.is_main():
                self._write_backbone()
            if not self.finished and stopped:
                raise Interrupted.by(
                    stop.received,
                    f"stopped by {stop.received.name if stop.received else 'a signal to another process'} after step "
                    f"{self.trainer.step} of {self.resolved.steps}; a checkpoint was written, the same command "
                    "continues from there",
                )

    def _due(self) -> bool:
        """Whether it is time for a checkpoint; the main process's clock decides."""
        return distributed.is_main() and time.monotonic() - self.saved_at >= self.config.checkpoint_every

    def _train_some(self, pause: Callable[[], bool], on_step: Callable[[dict[str, float]], None], track: Log) -> None:
        """Train to the end of the epoch or to a pause."""
        complete, failure = False, None
        try:
            complete = self.trainer.train_epoch(pause, on_step)
        except Diverged as error:
            failure = error
        with distributed.agreed():
            if failure is not None:
                raise self._over(failure)
            if complete:
                self._end_epoch(track)

    def _end_epoch(self, track: Log) -> None:
        """Store and log the averages of an epoch, with the KNN accuracy where it is due."""
        metrics: dict[str, Any] = self.trainer.finish_epoch()
        if not distributed.is_main():
            return
        epoch = metrics["epoch"]
        if self.knn is not None and (epoch % self.resolved.eval_every == 0 or epoch == self.config.epochs):
            metrics |= self.knn.evaluate(self.trainer.task.backbone)
        self.run.append_metrics(metrics)
        track(metrics)
        LOGGER.info(describe_epoch(metrics, self.config.epochs), extra={"progress": True})
        self.watch.after_epoch(metrics)

    def _save(self) -> None:
        """Write a checkpoint, unless something in it is not finite or the features are not.

        Raises:
            DermsslError: something is; the checkpoint before is untouched.
        """
        state = self.trainer.state_dict()
        broken = not_finite(state)
        if broken:
            what = f"{len(broken)} tensors of the weights or of the optimizer are not finite ({broken[0]}, ...)"
            raise self._over(self.trainer.diverged(what))
        try:
            self.watch.look_at_features()
        except Diverged as error:
            raise self._over(error) from error
        save_checkpoint(self.run, {"run": self.identity, **state})
        self.saved_step, self.saved_at = self.trainer.step, time.monotonic()

    def _over(self, error: Diverged) -> DermsslError:
        """What became of a run that diverged, with what is left of it and what to do."""
        left = (
            f"the checkpoint of step {self.saved_step} is kept"
            if self.saved_step
            else "no checkpoint had been written yet"
        )
        again = "start over with --no-resume and" if self.saved_step else "start again with"
        return DermsslError(
            f"{error}; {left}. To continue, {again} a lower --lr, a longer --warmup-epochs or --precision fp32"
        )

    def _write_backbone(self) -> None:
        trainer, resolved = self.trainer, self.resolved
        data = self.run.read_config().get("data", {})
        save_backbone(
            trainer.task.backbone,
            own_folder(self.run.backbone),
            mean=resolved.mean,
            std=resolved.std,
            image_size=resolved.image_size,
            fit=data.get("fit") or self.config.fit,
            paper=METHODS[self.config.method].citation,
            provenance={
                "method": self.config.method,
                "epochs": round(trainer.step / len(trainer.loader), 2),
                "step": trainer.step,
                "images": resolved.images,
                "content_hash": self.identity["images"],
                "dermssl": dermssl.__version__,
            },
        )
