"""Where and in which precision tensors are computed."""

import platform
import re
from pathlib import Path

import torch

from dermssl.errors import DermsslError
from dermssl.options import DEVICE, PRECISIONS


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device of ``auto`` (CUDA if there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DermsslError: there is no such device here, or it is of a kind that nothing here was tried on.
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
    """What ``device`` is called by its maker, such as ``NVIDIA H100 80GB HBM3``; a CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():  # platform.processor() is empty or "x86_64" on Linux
        models = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads"


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The autocast dtype of ``fp32``, ``bf16`` or ``auto`` (bf16 where the hardware multiplies in it)."""
    if precision not in PRECISIONS:
        raise DermsslError(f"--precision {precision}: unknown; use one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast to ``dtype`` on ``device``; switched off for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without AVX512-BF16 or AMX, oneDNN emulates bf16 and it is slower than float32.
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
