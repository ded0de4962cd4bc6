"""Fine-tune a published backbone with timm alone: nothing of dermssl is needed to use its weights.

    python examples/finetune_with_timm.py hf-hub:ORG/resnet18.dermssl_ham10000 IMAGES --epochs 5

IMAGES holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. Keep all images of a lesion on one side.
"""

import argparse

import timm
import timm.optim
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("images")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
classes = ImageFolder(f"{args.images}/train").classes
model = timm.create_model(args.model, pretrained=True, num_classes=len(classes)).to(device)
data = timm.data.resolve_model_data_config(model)  # the size, mean and std of the pretraining
train = ImageFolder(f"{args.images}/train", timm.data.create_transform(**data, is_training=True, vflip=0.5))
test = ImageFolder(f"{args.images}/test", timm.data.create_transform(**data, is_training=False))
optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)

for epoch in range(args.epochs):
    model.train()
    for images, labels in DataLoader(train, batch_size=32, shuffle=True, drop_last=len(train) > 32):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images.to(device)), labels.to(device)).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        hits = [model(x.to(device)).argmax(1).cpu() == y for x, y in DataLoader(test, batch_size=64)]
    print(f"epoch {epoch + 1}: test accuracy {torch.cat(hits).float().mean():.3f}", flush=True)
