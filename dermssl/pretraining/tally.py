"""What the steps of an epoch add up to, on their device."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dermssl.errors import DermsslError


class Diverged(DermsslError):
    """Something is not finite that must be.

    Args:
        what: it is, such as ``the loss is nan``.
        step: after which it was found, from 1.
        batches: in an epoch.
        lr: learning rate of that step.
    """

    def __init__(self, what: str, step: int, batches: int, lr: float) -> None:
        super().__init__(
            f"{what} at step {step} (epoch {(step - 1) // batches + 1}), where the learning rate was {lr:.3g}"
        )


class Tally:
    """Sums of a task's scalars over an epoch, and the first step of the run whose loss was not finite.

    Nothing in ``add`` waits for the device, and all state is in tensors that stay where they are, so that a captured
    step can write to them.

    Args:
        names: of the scalars; one is ``loss``.
        device: of the task.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = tuple(names)
        self.sums = torch.zeros(len(self.names), dtype=torch.double, device=device)
        self._last = torch.zeros_like(self.sums)  # the scalars of the last step
        self._steps = torch.zeros((), dtype=torch.double, device=device)  # made since the start of the run
        self._bad_step = torch.full_like(self._steps, math.inf)  # the first whose loss was not finite

    @property
    def tensors(self) -> list[Tensor]:
        """All state."""
        return [self.sums, self._last, self._steps, self._bad_step]

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Count a step."""
        self._steps.add_(1)
        self._last.copy_(torch.stack([scalars[name] for name in self.names]))
        self.sums.add_(self._last)
        good = torch.isfinite(scalars["loss"])
        self._bad_step.copy_(torch.minimum(self._bad_step, self._steps.masked_fill(good, math.inf)))

    def read(self) -> tuple[dict[str, float], int | None]:
        """The scalars of the last step, and the first step whose loss was not finite: one transfer from the device."""
        *values, bad_step = torch.cat([self._last, self._bad_step[None]]).tolist()
        return dict(zip(self.names, values, strict=True)), int(bad_step) if math.isfinite(bad_step) else None

    def averages(self, steps: int) -> dict[str, float]:
        """The means over so many steps."""
        return dict(zip(self.names, (self.sums / steps).tolist(), strict=True))

    def start_epoch(self) -> None:
        """Forget the sums."""
        self.sums.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The sums, by name."""
        return {name: total.clone() for name, total in zip(self.names, self.sums, strict=True)}

    def load_state_dict(self, state: dict[str, Tensor], step: int) -> None:
        """Go back to sums after ``step`` steps of the run; a name that has none stands at 0."""
        self.sums.copy_(torch.stack([torch.as_tensor(state.get(name, 0.0)).double().cpu() for name in self.names]))
        self._steps.fill_(step)
