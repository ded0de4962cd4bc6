"""The ways in which weights are evaluated: what each is called, and the command that does it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One way.

    Attributes:
        title: for a heading.
        phrase: for a sentence.
        short: for a cell.
        command: its words after ``dermssl``.
    """

    title: str
    phrase: str
    short: str
    command: tuple[str, ...]


# what a report calls its kind -> the way
KINDS = {
    "knn": Kind("Nearest neighbours, features as they are", "nearest neighbours", "KNN", ("eval-knn",)),
    "frozen": Kind(
        "Linear classifier on frozen features",
        "a linear classifier on frozen features",
        "linear, frozen",
        ("finetune", "--freeze"),
    ),
    "finetune": Kind("Whole network fine-tuned", "fine-tuning", "fine-tuned", ("finetune",)),
}
