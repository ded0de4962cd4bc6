"""How a classifier is trained on labelled images: every decision of a recipe in one place."""

from dataclasses import dataclass

from dermssl.data.policy import ViewPolicy


@dataclass(frozen=True)
class Recipe:
    """The training of one network, or of one classifier on frozen features.

    Args:
        opt: optimizer, by its timm name.
        lr: learning rate at its highest.
        momentum: of SGD.
        weight_decay: none on norms and biases.
        batch_size: images per step.
        epochs: passes over the training images.
        least_steps: more passes are made until there are so many steps, so that a hundred images are learned
            too.
        schedule: ``"cosine"`` to 0, or ``"constant"``.
        warmup: share of the steps with a rising learning rate.
        policy: the augmentation.
        turns: turn the images by random quarter turns as well.
        head: what is trained on frozen features: ``"logistic"`` regression on standardised features to its
            optimum, or ``"linear"``: one layer by this recipe's optimizer.
    """

    opt: str
    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    least_steps: int
    schedule: str
    warmup: float
    policy: ViewPolicy
    turns: bool
    head: str


# Dermoscopy has no up and down, so all eight turns and mirror images of a lesion are as good as the one
# taken.
_MILD = ViewPolicy(crop_scale=0.6, flip="both", brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02, grayscale=0.0)
_FLIPS = ViewPolicy(crop_scale=1.0, flip="both", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grayscale=0.0)

RECIPES = {
    "default": Recipe(
        opt="adamw",
        lr=5e-4,
        momentum=0.9,
        weight_decay=0.05,
        batch_size=64,
        epochs=20,
        least_steps=400,
        schedule="cosine",
        warmup=0.1,
        policy=_MILD,
        turns=True,
        head="logistic",
    ),
    # The paper prints SGD, batch 64 and lr 0.001; the rest are the usual values.
    "paper": Recipe(
        opt="momentum",  # timm's "sgd" is Nesterov's
        lr=0.001,
        momentum=0.9,
        weight_decay=1e-4,
        batch_size=64,
        epochs=50,
        least_steps=0,
        schedule="constant",
        warmup=0.0,
        policy=_FLIPS,
        turns=False,
        head="linear",
    ),
}
