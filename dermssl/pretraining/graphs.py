"""A step that is captured once and replayed: a CUDA graph, where starting kernels takes longer than running them.

What a captured step reads and writes must stay where it is, and what Python works out anew for each step must lie in
tensors: batches are copied to one place, and the learning rate and the numbers that a task ``varies`` are filled in
before each replay.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from dermssl.errors import DermsslError

LOGGER = logging.getLogger("dermssl")

WARM = 3  # eager steps before the capture: kernels are chosen and compiled, and state that is made lazily is made

# How far a replay may be from the eager step, as a share of what the step changes. Kernels that add in no fixed order
# differ by some hundredths in bf16; another batch, rate, momentum or random number by more than the change itself.
WITHIN = 0.25

# Up to this edge in pixels a step is captured: beyond it the kernels take longer than their start. Not measured yet.
LARGEST = 128

State = Callable[[], dict[str, list[Tensor]]]


class Recorder(Protocol):
    """What captures work on a device."""

    def warming(self) -> contextlib.AbstractContextManager:
        """The context for steps before the capture."""

    def capture(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Record the work, which draws from ``generators``, without doing it."""

    def replay(self) -> None:
        """Do the work once."""

    def forget(self) -> None:
        """There will be no replay any more."""


class CudaGraph:
    """A recorder of work on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.graph = device, torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(device)

    @contextlib.contextmanager
    def warming(self) -> Iterator[None]:
        """A stream of its own, as a capture has: what autograd remembers of the default one would end the capture."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def capture(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Record the work; torch's own generator is known to the graph."""
        for generator in generators:
            self.graph.register_generator_state(generator)
        try:
            # thread_local: the loader's thread may pin memory meanwhile
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                work()
        except RuntimeError:
            # They would go on as if captured, and refuse to draw: others take their places.
            for generator in (*generators, _own_generator(self.device)):
                generator.graphsafe_set_state(torch.Generator(self.device))
            raise

    def replay(self) -> None:
        """Do the work."""
        self.graph.replay()

    def forget(self) -> None:
        """Give back the memory of the recording, which is as much as that of a step."""
        self.graph.reset()


def can_be_captured(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer reads its rate from a tensor without waiting for it: torch's fused ones do."""
    return all(group.get("fused") for group in optimizer.param_groups)


class CapturedStep:
    """Makes a trainer's updates: the first ones as they are, the others from a recording.

    The first replay is compared with the same update made as it is. Where they differ, or nothing could be recorded,
    one line says so, and all updates are made as they are.

    Args:
        update: makes an update with a batch (images, index).
        task: what is updated.
        optimizer: of its weights; a fused one, which can read its rate from a tensor.
        generator: that ``update`` draws from, beside torch's own.
        state: returns all tensors that an update changes, by what they are.
        mend: called when a recording broke off: what Python knows of an update may be that of a half.
        recorder: of the device.
    """

    def __init__(
        self,
        update: Callable[[Tensor, Tensor], None],
        task: Any,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        state: State,
        mend: Callable[[], None],
        recorder: Recorder,
    ) -> None:
        self.update, self.task, self.optimizer, self.generator = update, task, optimizer, generator
        self.state, self.mend, self.recorder = state, mend, recorder
        self.steps = 0
        self.active = True  # False once it is known that nothing can be replayed
        self._failure: str | None = None  # of a recording, until an update was made after it
        self._batch: tuple[Tensor, ...] = ()
        self._rates: list[Tensor] = []
        self._varying: dict[str, Tensor] = {}
        self._constants: dict[str, Any] = {}

    def __call__(self, images: Tensor, index: Tensor) -> None:
        """Make an update."""
        self.steps += 1
        if self.active and self.steps > WARM + 1 and self._constants != self._numbers():
            self._give_up(f"numbers of the task that it does not name in `varies` change: {self._changed()}")
        if not self.active:
            self._after_failure(lambda: self.update(images, index))
            self._failure = None
        elif self.steps <= WARM:
            with self.recorder.warming():
                self.update(images, index)
        elif self.steps == WARM + 1:
            self._record(images, index)
        else:
            self._fill(images, index)
            self.recorder.replay()

    def _record(self, images: Tensor, index: Tensor) -> None:
        """Make an update as it is, record one, and see whether a replay does the same."""
        device = images.device
        self._batch = images.clone(), index.clone()
        self._rates = [torch.zeros((), device=device) for _ in self.optimizer.param_groups]
        self._varying = {name: torch.zeros((), device=device) for name in self.task.varies}
        generators = [self.generator, _own_generator(device)]
        before = _Moment(self.state(), generators)
        with self.recorder.warming():
            self.update(images, index)
        expected = _Moment(self.state(), generators)
        try:
            before.restore()
            with self._in_tensors():
                self.recorder.capture(lambda: self.update(*self._batch), [self.generator])
            self._constants = self._numbers()
            self._fill(images, index)
            self.recorder.replay()
            differing = before.unlike(expected, _Moment(self.state(), generators))
        except RuntimeError as error:
            self._failure = _first_said(error)
            self._give_up(self._failure)
            self.mend()
            self._after_failure(expected.restore)
            return
        if differing:
            self._give_up(f"its {', '.join(differing)} are not those of the plain step")
            expected.restore()
            return
        LOGGER.info("the step is replayed as a CUDA graph from here on")

    def _after_failure(self, work: Callable[[], None]) -> None:
        """Do what torch may refuse once a recording broke off.

        Raises:
            DermsslError: it does.
        """
        try:
            work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self._failure is None:
                raise
            raise DermsslError(
                f"the step could not be captured as a CUDA graph ({self._failure}), and torch cannot continue after "
                "that; start the same command again with --compile no"
            ) from error

    def _give_up(self, why: str) -> None:
        self.active = False
        self.recorder.forget()
        LOGGER.warning("the step is not replayed as a CUDA graph, which makes it slower: %s", why)

    def _fill(self, images: Tensor, index: Tensor) -> None:
        """Put what a replay reads where it reads it; nothing waits for the device."""
        for place, value in zip(self._batch, (images, index), strict=True):
            place.copy_(value, non_blocking=True)
        for rate, group in zip(self._rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        for name, place in self._varying.items():
            place.fill_(getattr(self.task, name))

    @contextlib.contextmanager
    def _in_tensors(self) -> Iterator[None]:
        """The rates and what varies as tensors, for as long as a step is recorded; else they are plain numbers."""
        groups = self.optimizer.param_groups
        plain: list[dict[str, Any]] = [{n: group[n] for n in ("lr", "capturable") if n in group} for group in groups]
        numbers = {name: getattr(self.task, name) for name in self._varying}
        for group, rate, was in zip(groups, self._rates, plain, strict=True):
            group.update({name: rate if name == "lr" else True for name in was})
        for name, place in self._varying.items():
            setattr(self.task, name, place)
        try:
            yield
        finally:
            for group, was in zip(groups, plain, strict=True):
                group.update(was)
            for name, number in numbers.items():
                setattr(self.task, name, number)

    def _numbers(self) -> dict[str, Any]:
        """The task's numbers and words that a recording holds for good."""
        return {
            name: value
            for name, value in vars(self.task).items()
            if isinstance(value, bool | int | float | str) and name not in self._varying
        }

    def _changed(self) -> str:
        now = self._numbers()
        return ", ".join(sorted(name for name in self._constants if self._constants[name] != now.get(name)))


class _Moment:
    """Copies of all that an update changes.

    Args:
        state: tensors, by what they are.
        generators: of random numbers.
    """

    def __init__(self, state: dict[str, list[Tensor]], generators: Sequence[torch.Generator]) -> None:
        self.state, self.generators = state, generators
        self.copies = {name: [tensor.detach().clone() for tensor in tensors] for name, tensors in state.items()}
        self.drawn = [generator.get_state() for generator in generators]

    def restore(self) -> None:
        """Bring everything back to this moment."""
        with torch.no_grad():
            for name, tensors in self.state.items():
                for tensor, copy in zip(tensors, self.copies[name], strict=True):
                    tensor.copy_(copy)
        for generator, state in zip(self.generators, self.drawn, strict=True):
            generator.set_state(state)

    def unlike(self, expected: "_Moment", found: "_Moment") -> list[str]:
        """What was changed from here to another state than the expected one."""
        names = []
        for name, before in self.copies.items():
            change, error, equal = 0.0, 0.0, True
            for was, wanted, is_ in zip(before, expected.copies[name], found.copies[name], strict=True):
                if not was.is_floating_point():
                    equal = equal and torch.equal(wanted, is_)
                    continue
                change += float(torch.nan_to_num(wanted.double() - was.double()).square().sum())
                error += float((is_.double() - wanted.double()).nan_to_num(posinf=0.0, neginf=0.0).square().sum())
            if not equal or error > WITHIN**2 * change:
                names.append(name)
        return names


def _first_said(error: BaseException) -> str:
    """The first line of the first error: that a capture broke off is another one, raised while it is ended."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _own_generator(device: torch.device) -> torch.Generator:
    """Torch's own, which dropout draws from."""
    if device.type != "cuda":
        return torch.default_generator
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
