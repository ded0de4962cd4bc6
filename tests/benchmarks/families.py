"""One model of every timm family: made for a small size, one step, export, and back through timm; or a plain no.

    python -m tests.benchmarks.families [--only WORD] [--output families.md]

Writes the table of docs/guides/backbones.md. A family is a module of ``timm.models``; its smallest member is tried,
at the smallest of ``SIZES`` that it takes, else at its own. What is neither trained and given back nor refused in
words before the first step is marked FAULT, and the exit status is 1.
"""

import argparse
import copy
import logging
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from dermssl.backbones.exportable import refuse_unexportable
from dermssl.backbones.facts import normalisation, own_image_size
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import export_config, save_backbone
from dermssl.backbones.sizes import refusal
from dermssl.backbones.timm_check import check
from dermssl.errors import DermsslError
from dermssl.methods.rotinstdisc import RotInstDisc
from dermssl.pretraining.build import starting_backbone
from dermssl.pretraining.config import make_config

SIZES = (32, 64, 128, 224)
MOST = 100_000_000  # parameters of a model that is trained; the few families without a smaller one are tried by shapes
# Module of timm.models -> its smallest member, in timm 1.0.31: making all to find it takes minutes.
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_1024_20_ks9_p14",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "mobilenetv2_035",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_300m",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d2_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}


@dataclass(frozen=True)
class Tried:
    """What became of one model.

    Attributes:
        size: edge in pixels that it was tried at.
        no: why it was refused before the first step; "" = it was not.
        fault: what went wrong afterwards; "" = nothing.
        light: tried without values: its size and the names and shapes of its tensors only.
    """

    family: str
    name: str
    own: int
    size: int
    parameters: int
    no: str = ""
    fault: str = ""
    seconds: float = 0.0
    light: bool = False


def families() -> dict[str, str]:
    """Module of timm.models -> the member to try; of a module that is newer than this file, its first."""
    names = {module: timm.list_models(module=module) for module in timm.list_modules()}
    return {
        module: SMALLEST[module] if SMALLEST.get(module) in some else some[0] for module, some in names.items() if some
    }


def parameters(name: str) -> int:
    """Of an architecture."""
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name, num_classes=0).parameters())


def attempt(family: str, name: str, sizes: tuple[int, ...] = SIZES) -> Tried:
    """Try one model; nothing is raised."""
    begun = time.perf_counter()
    found = Tried(family, name, 0, 0, 0)
    try:
        if (count := parameters(name)) > MOST:
            return without_values(family, name, count)
        backbone, size, no = start(name, sizes)
        if backbone is None:
            return Tried(family, name, 0, size, 0, no=no)
        count = sum(p.numel() for p in backbone.parameters())
        own = (timm.get_pretrained_cfg_value(name, "input_size") or (3, 0, 0))[-1]
        found = Tried(family, name, own, size, count)
        mean, std = normalisation(backbone)
        try:
            refuse_unexportable(backbone, mean=mean, std=std, image_size=size)
        except DermsslError as error:
            return Tried(family, name, own, size, count, no=str(error))
        one_step(backbone, size)
        fault = given_back(backbone, size)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - begun
    return Tried(family, name, found.own, found.size, found.parameters, fault=fault, seconds=seconds)


def without_values(family: str, name: str, count: int) -> Tried:
    """A model that is too large to be trained here: whether it takes images, and whether timm makes it again alike."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    own = own_image_size(model)
    for training in (False, True):
        if (why := refusal(model, own, training=training)) is not None:
            return Tried(family, name, own, own, count, no=why)
    mean, std = normalisation(model)
    config = export_config(model, mean=mean, std=std, image_size=own)
    with torch.device("meta"):
        again = timm.create_model(name, pretrained_cfg=config["pretrained_cfg"], **config.get("model_args", {}))
    shapes, others = ({key: t.shape for key, t in m.state_dict().items()} for m in (model, again))
    return Tried(family, name, own, own, count, fault="" if shapes == others else "timm makes it otherwise", light=True)


def start(name: str, sizes: tuple[int, ...]) -> tuple[nn.Module | None, int, str]:
    """The model at the first of ``sizes`` that it takes, else at its own; or None and why not."""
    no = ""
    for size in (*sizes, None):
        try:
            backbone = starting_backbone(make_config(backbone=name, image_size=size))
            return backbone, size or own_image_size(backbone), ""
        except DermsslError as error:
            no = str(error)
    return None, 0, no


def one_step(backbone: nn.Module, size: int) -> None:
    """One update of RotInstDisc on two images of noise."""
    torch.manual_seed(0)
    before = copy.deepcopy(backbone.state_dict())
    task = RotInstDisc(backbone, queue_size=8).train()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.01)
    result = task((torch.randn(2, 3, size, size), torch.randn(2, 3, size, size)), torch.tensor([0, 1]))
    if not torch.isfinite(result["loss"]):
        raise ValueError(f"the loss is {result['loss']}")
    result["loss"].backward()
    nn.utils.clip_grad_norm_(task.parameters(), 1.0)  # BatchNorm over two images of one pixel each has steep gradients
    optimizer.step()
    if all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items()):
        raise ValueError("the step changed nothing")


def given_back(backbone: nn.Module, size: int) -> str:
    """What is wrong with the weights once they are exported; "" if nothing is."""
    mean, std = normalisation(backbone)
    backbone.eval()
    with tempfile.TemporaryDirectory() as folder:
        save_backbone(backbone, folder, mean=mean, std=std, image_size=size, provenance={})
        config = export_config(backbone, mean=mean, std=std, image_size=size)
        create = partial(timm.create_model, f"local-dir:{folder}", pretrained=True)
        expected = {**config["pretrained_cfg"], "architecture": config["architecture"]}
        problems = check(create, load_file(Path(folder) / "model.safetensors"), expected)["problems"]
        again = load_backbone(folder)
    image = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        if not torch.allclose(backbone(image), again(image), rtol=1e-4, atol=1e-5):
            problems.append("load_backbone gives other features")
    return "; ".join(problems)


def to_markdown(tried: list[Tried]) -> str:
    """The table of the page."""
    lines = [
        "| family | model | parameters | own size | tried at | result |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for one in tried:
        result = (
            f"FAULT: {one.fault}"
            if one.fault
            else f"no: {one.no}"
            if one.no
            else "yes, by its shapes"
            if one.light
            else "yes"
        )
        million = f"{one.parameters / 1e6:.1f} M" if one.parameters else ""
        lines.append(f"| {one.family} | {one.name} | {million} | {one.own or ''} | {one.size or ''} | {result} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """The exit status is 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="families whose names have this word")
    parser.add_argument("--output", type=Path, help="write the table here, too")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    tried = []
    for module, name in families().items():
        if options.only in module:
            tried.append(attempt(module, name))
            print(to_markdown(tried).splitlines()[-1], f"{tried[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    table = to_markdown(tried)
    print(table)
    if options.output:
        options.output.write_text(table, encoding="utf-8")
    return int(any(one.fault for one in tried))


if __name__ == "__main__":
    sys.exit(main())
