"""What the paper prints: Tables 1 to 5, in per cent.

Liu et al., CAAI Transactions on Intelligent Systems, 2023, 18(4): 783-792.
"""

from dataclasses import dataclass

from dermssl.evaluation.arguments import FRACTIONS as FRACTIONS


@dataclass(frozen=True)
class Printed:
    """A row of a table, in per cent; None where the table has no such column.

    The paper does not say how it averaged over classes. Its numbers fit recall averaged over classes, and precision
    and F1 over images (weighted), except in one row where these are over classes too: ``macro``.
    """

    accuracy: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    macro: bool = False


# The rows of Tables 1 and 2 by the names of our methods.
ROWS = {
    "random": "random",
    "imagenet": "ImageNet (supervised)",
    "rotation": "rotation",
    "byol": "BYOL",
    "moco": "MoCo",
    "simclr": "SimCLR",
    "pirl": "PIRL (Invariant)",
    "rotinstdisc": "RotInstDisc (this paper)",
}

# Table 1: KNN.
KNN = {
    "random": Printed(68.26, 52.49, 15.08, 56.13),
    "imagenet": Printed(68.76, 56.50, 15.64, 57.48),
    "rotation": Printed(68.16, 68.44, 14.68, 55.56),
    "byol": Printed(72.46, 69.63, 23.05, 65.03),
    "moco": Printed(72.75, 72.97, 23.37, 65.29),
    "simclr": Printed(73.05, 73.76, 24.08, 65.93),
    "pirl": Printed(72.06, 66.74, 24.41, 65.34),
    "rotinstdisc": Printed(74.55, 71.93, 29.41, 70.51),
}

# Table 2, left: the whole network fine-tuned.
FINETUNED = {
    "random": Printed(71.16, 73.84, 47.33, 70.64),
    "imagenet": Printed(79.26, 81.84, 59.15, 78.65),
    "rotation": Printed(80.47, 81.47, 63.81, 79.81),
    "byol": Printed(76.97, 78.30, 50.98, 74.81),
    "moco": Printed(82.19, 82.03, 62.59, 80.93),
    "simclr": Printed(79.23, 81.60, 63.01, 78.96),
    "pirl": Printed(75.05, 73.20, 44.09, 71.48),
    "rotinstdisc": Printed(84.28, 84.58, 68.81, 83.63),
}

# Table 2, right: the backbone frozen.
FROZEN = {
    "random": Printed(66.48, 49.37, 16.46, 55.25),
    "imagenet": Printed(74.63, 71.80, 39.42, 71.19),
    "rotation": Printed(67.87, 54.85, 18.81, 58.64),
    "byol": Printed(74.66, 70.32, 35.48, 71.17),
    "moco": Printed(74.50, 69.64, 32.05, 69.89),
    "simclr": Printed(76.16, 72.13, 38.94, 73.02),
    "pirl": Printed(70.40, 63.12, 24.48, 63.57),
    "rotinstdisc": Printed(76.43, 74.16, 43.35, 74.12),
}

# Table 3: KNN with each task alone and with both.
TASKS = {
    "rotation": Printed(68.16, 68.44, 14.68, 55.56),
    "instance": Printed(73.95, 40.52, 26.50, 26.79, macro=True),
    "both": Printed(74.55, 71.93, 29.41, 70.51),
}

# Table 4: KNN by lambda, the weight of the rotation loss.
LAMBDAS = {
    0.0: Printed(73.45),
    0.1: Printed(74.55),
    0.5: Printed(73.85),
    1.0: Printed(73.95),
    5.0: Printed(72.15),
    10.0: Printed(71.75),
}

# Table 5: KNN by K, the length of the queue.
QUEUES = {
    128: Printed(73.65),
    512: Printed(74.55),
    1024: Printed(73.85),
    2048: Printed(73.95),
    4096: Printed(74.85),
    8192: Printed(74.95),
    16384: Printed(74.55),
}

# The lambda and the longest queue of all other tables.
LAMBDA = 0.1
QUEUE = 8192


def said_of_queue(size: int | None) -> str:
    """What the paper prints on K, beside the ``size`` of a reproduction's Tables 1 to 4."""
    best = KNN["rotinstdisc"].accuracy
    same = " or ".join(f"{queue:,}" for queue, printed in QUEUES.items() if printed.accuracy == best)
    here = "a K of its own" if size is None else f"K = {size:,}"
    text = (
        f"Tables 1 to 4 have {here} here. The paper does not print theirs; their {best:.2f} % stands at K = {same} in "
    )
    text += "its Table 5"
    if size in QUEUES:
        text += f", which has {QUEUES[size].accuracy:.2f} % at K = {size:,}"
    return f"{text}."


TABLES = (1, 2, 3, 4, 5)
FIGURES = (4, 5, 6)
