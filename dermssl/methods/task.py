"""What every method shares: the parts of a timm ``TrainingTask`` that the trainer and the checkpoints rely on."""

from collections.abc import Container
from typing import Any, ClassVar

from timm.task import TrainingTask
from timm.utils.model import unwrap_model
from torch import nn

from dermssl.errors import DermsslError
from dermssl.methods.options import constructor_options
from dermssl.options import Options


class PretrainingTask(TrainingTask):
    """A timm task that trains ``trainable_module.backbone``, without labels.

    A method sets ``trainable_module`` and writes ``forward(input, target)``, which returns ``loss`` and its parts. If
    ``forward`` names a third argument, ``index``, it is given the numbers of the images in the data set, (B,) int64.

    Attributes:
        title: the method's name, as its authors spell it.
        summary: what is learned, in one sentence, for model cards.
        citation: the paper.
        bibtex: the same as an entry for BibTeX, where there is one.
        logs: names of the numbers that ``forward`` returns, () each; they are averaged over an epoch and logged.
        views: what ``forward`` gets. ``"two"``: two views and the quarter turns of the first; ``"one"``: the first
            alone; ``"crop"``: two upright views, a small crop, and the quarter turns of the crop; ``"jigsaw"``: a
            view, nine shuffled patches and the image's number in the data set.
        rotates_query: whether the first view is turned by quarter turns.
        state_modules: names of the modules beside ``trainable_module`` whose state belongs in a checkpoint.
        varies: names of the attributes, numbers, that ``begin_step`` changes and ``forward`` reads: in a step that is
            captured as a CUDA graph they are tensors ().
        spans_processes: whether several processes can train it: what it compares between images is then gathered
            from all of them (``dermssl.distributed.gather``).
    """

    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    bibtex: ClassVar[str] = ""
    logs: ClassVar[tuple[str, ...]] = ("loss",)
    views: str = "two"
    rotates_query: bool = False
    state_modules: ClassVar[tuple[str, ...]] = ()
    varies: ClassVar[tuple[str, ...]] = ()
    spans_processes: ClassVar[bool] = False
    trainable_module: nn.Module

    @classmethod
    def options(cls, without: Container[str] = ()) -> type[Options]:
        """The options that the constructor names, as a dataclass; the backbone is none of them."""
        return constructor_options(cls, without)

    @property
    def backbone(self) -> nn.Module:
        """The backbone that is being trained."""
        return unwrap_model(self.trainable_module).backbone

    def begin_step(self, progress: float) -> None:
        """Set what changes over a run; the trainer calls it before each step.

        Args:
            progress: share of the run's steps that have been made, in [0, 1).
        """

    def chance_loss(self) -> float | None:
        """The contrastive loss of guessing; None where guessing has no fixed loss."""
        return None

    def prepare_distributed(self, device_ids: list | None = None, **ddp_kwargs: Any) -> "PretrainingTask":
        """Wrap what is trained in DistributedDataParallel; the state modules are not trained by it."""
        from torch.nn.parallel import DistributedDataParallel

        self.trainable_module = DistributedDataParallel(self.trainable_module, device_ids=device_ids, **ddp_kwargs)
        return self

    def compile(self, backend: str = "inductor", mode: str | None = None, **compile_kwargs: Any) -> nn.Module:  # type: ignore[override]
        """Compile what is trained and what makes keys or targets, before any distributed wrapping."""
        for module in (self.trainable_module, *(getattr(self, name) for name in self.state_modules)):
            module.compile(backend=backend, mode=mode, **compile_kwargs)  # in place: keys of the state stay
        return self.trainable_module

    def get_task_state(self, module: nn.Module | None = None, ema: bool = False) -> dict[str, Any]:
        """State of ``state_modules``."""
        return {name: getattr(self, name).state_dict() for name in self.state_modules}

    def load_task_state(
        self,
        state: dict[str, Any] | None,
        strict: bool = True,
        module: nn.Module | None = None,
        ema: bool = False,
    ) -> None:
        """Load what ``get_task_state`` returned."""
        for name in self.state_modules:
            if state is None or name not in state:
                raise DermsslError(f"the checkpoint holds no {name}; it is another method's")
            getattr(self, name).load_state_dict(state[name], strict=strict)
