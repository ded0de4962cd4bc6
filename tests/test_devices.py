"""Where and in which precision."""

import pytest
import torch

from dermssl import DermsslError
from dermssl.devices import autocast, exact_float32, made_there, resolve_device, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def tf32() -> list[str]:
    """How matrix products and convolutions on a card are computed; the settings are there without one."""
    return [torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision]


def test_auto_takes_what_is_there():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_precision("auto", CPU) in (torch.bfloat16, torch.float32)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(DermsslError, match="--device cuda: torch sees no CUDA device"):
        resolve_device("cuda")


def test_an_unknown_device_or_precision_is_named():
    with pytest.raises(DermsslError, match="--device tpux"):
        resolve_device("tpux")
    with pytest.raises(DermsslError, match="--precision fp8: unknown; use one of auto, fp32, bf16"):
        resolve_precision("fp8", CPU)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision, dtype):
    with autocast(CPU, resolve_precision(precision, CPU)):
        assert torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype


def test_float32_on_a_card_has_all_its_digits():
    """cuDNN's default is TF32, by which a figure would be another one than on the CPU."""
    before = tf32()
    assert before[1] == "tf32"
    with exact_float32(CUDA), exact_float32(CUDA):
        assert tf32() == ["ieee", "ieee"]
    assert tf32() == before
    with exact_float32(CPU), exact_float32(CUDA, torch.bfloat16):
        assert tf32() == before
    with autocast(CUDA, torch.float32):
        assert tf32() == ["ieee", "ieee"]
    assert tf32() == before


@pytest.mark.parametrize(
    ("card", "capability", "dtype"),
    [
        ("H100", (9, 0), torch.bfloat16),
        ("A100", (8, 0), torch.bfloat16),
        ("T4", (7, 5), torch.float16),
        ("V100", (7, 0), torch.float16),
        ("P100", (6, 0), torch.float32),
    ],
)
def test_the_precision_is_that_of_the_cards_matrix_units(monkeypatch, card, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", torch.device("cuda", 0)) is dtype


def test_numbers_made_on_a_device_are_those_of_a_tensor():
    mean = (0.485, 0.456, 0.406)
    assert torch.equal(made_there(mean, CPU), torch.tensor(mean))
