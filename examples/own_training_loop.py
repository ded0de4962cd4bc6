"""RotInstDisc in a training loop of your own: the method is a timm TrainingTask, the rest is plain PyTorch.

python examples/own_training_loop.py IMAGES [BACKBONE EPOCHS]
"""

import sys

import timm
import torch
from timm.optim import create_optimizer_v2

from dermssl import RotInstDisc
from dermssl.data.augment import TwoViews
from dermssl.data.loader import Loader
from dermssl.data.policy import ViewPolicy
from dermssl.data.prepare import cached

IMAGE_SIZE, BATCH = 64, 32
images, name, epochs = sys.argv[1], *(sys.argv[2:] or ["resnet18", "5"])
backbone = timm.create_model(name, num_classes=0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
cache = cached(images, size=IMAGE_SIZE * 9 // 8)  # decoded once, with room for crops
loader = Loader(cache.images, BATCH, seed=0, device=device)
mean, std = tuple(backbone.pretrained_cfg["mean"]), tuple(backbone.pretrained_cfg["std"])
views = TwoViews(IMAGE_SIZE, ViewPolicy(), mean, std, torch.Generator(device).manual_seed(0), aspects=cache.aspects)
task = RotInstDisc(backbone, queue_size=min(4096, len(cache.images)), device=device).to(device).train()
optimizer = create_optimizer_v2(task.trainable_module, "adamw", lr=1e-3, weight_decay=0.05)

for epoch in range(int(epochs)):
    for batch, index in loader.epoch(epoch):  # (32, 72, 72, 3) uint8 and the images' numbers
        (query, key), rotation = views(batch, index)
        out = task((query, key), rotation, index)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
    parts = {name: round(out[name].item(), 3) for name in ("loss_instance", "loss_rotation", "rotation_accuracy")}
    print(f"epoch {epoch + 1}: {parts}")

torch.save(backbone.state_dict(), "backbone.pth")
