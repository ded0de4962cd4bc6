"""Where and in which precision tensors are computed."""

import contextlib
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dermssl.convolutions import MendedConvolutions
from dermssl.errors import DermsslError
from dermssl.malloc import is_out_of_memory
from dermssl.options import DEVICE, PRECISIONS, check


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device of ``auto`` (CUDA if there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DermsslError: there is no such device here, or devices of its kind are not supported.
    """
    pattern, words = DEVICE
    if not re.fullmatch(pattern, str(device)):
        raise DermsslError(f"--device {device}: unknown; use {words}")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(device)
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise DermsslError(f"--device {device}: torch sees no CUDA device; use --device cpu or auto")
        if found.index is not None and found.index >= count:
            raise DermsslError(f"--device {device}: torch sees {count} CUDA devices, numbered from 0")
    return found


def hardware_name(device: torch.device) -> str:
    """The maker's name of ``device``, such as ``NVIDIA H100 80GB HBM3``; for a CPU with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():  # platform.processor() is empty or "x86_64" on Linux
        models = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def out_of_memory_named(
    device: torch.device | str, batch: int, size: int, *, batch_option: bool = True, note: str = ""
) -> Iterator[None]:
    """Turn an allocator's error in the body into one that names the options to change.

    Args:
        batch: images that are computed at a time.
        size: their edge in pixels.
        batch_option: whether there is a ``--batch-size``.
        note: on what is to be tried.

    Raises:
        DermsslError: the memory was not enough.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        smaller = max(32, size * 7 // 10 // 32 * 32)
        tries = [f"--batch-size {max(2, batch // 2)}"] if batch_option else []
        tries += [f"--image-size {smaller}"] if smaller < size else []
        tries = tries or ["--device cpu"]
        raise DermsslError(
            f"out of memory on {device} at a batch of {batch} images of {size} px; try {' or '.join(tries)}{note}"
        ) from error


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The autocast dtype of ``fp32``, ``bf16``, ``fp16`` or ``auto``.

    ``auto`` is bf16 where the hardware multiplies in it, else fp16 on GPUs with tensor cores (V100, T4), else fp32.
    """
    check("precision", precision, choices=PRECISIONS)
    if precision == "auto":
        return _fast_dtype(device)
    return _DTYPES[precision]


def made_there(values: Sequence[float], device: torch.device) -> Tensor:
    """(N,) float32: a few numbers as a tensor that is made on the device; ``torch.tensor`` would copy it and wait."""
    return torch.stack([torch.full((), value, device=device) for value in values])


def precision_name(dtype: torch.dtype) -> str:
    """What ``--precision`` calls an autocast dtype."""
    return next(name for name, known in _DTYPES.items() if known == dtype)


@contextlib.contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute in ``dtype`` on ``device``; in float32 with all its digits, which CUDA would round to TF32."""
    slow = device.type == "cpu" and dtype == torch.bfloat16
    with (
        torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32),
        exact_float32(device, dtype),
        MendedConvolutions() if slow else contextlib.nullcontext(),
    ):
        yield


@contextlib.contextmanager
def exact_float32(device: torch.device, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """No TF32 in the body where ``dtype`` is float32: the same figure on every card. Backward passes need it, too."""
    if device.type != "cuda" or dtype != torch.float32:
        yield
        return
    cudnn: Any = torch.backends.cudnn
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def fused_step(optimizer: Any, device: torch.device) -> dict[str, Any]:
    """The argument that makes an optimizer of this class compute its step in one kernel, where torch has one.

    On the CPU that would change the last digits.
    """
    with_kernel = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    return {"fused": True} if device.type == "cuda" and optimizer in with_kernel else {}


@contextlib.contextmanager
def tuned_for_fixed_shapes() -> Iterator[None]:
    """Let cuDNN find its fastest algorithm for each shape: worth it where one shape occurs many times."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _fast_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        major = 8 if torch.version.hip else torch.cuda.get_device_capability(device)[0]
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    # Without AVX512-BF16 or AMX, oneDNN emulates bf16 and it is slower than float32.
    has_bf16 = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if has_bf16 else torch.float32
