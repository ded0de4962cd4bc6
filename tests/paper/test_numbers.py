"""The paper's numbers are the paper's."""

import pytest

from dermssl.paper import numbers


@pytest.mark.parametrize(
    ("table", "row", "printed"),
    [
        (numbers.KNN, "random", (68.26, 52.49, 15.08, 56.13)),
        (numbers.KNN, "moco", (72.75, 72.97, 23.37, 65.29)),
        (numbers.KNN, "rotinstdisc", (74.55, 71.93, 29.41, 70.51)),
        (numbers.FINETUNED, "imagenet", (79.26, 81.84, 59.15, 78.65)),
        (numbers.FINETUNED, "rotinstdisc", (84.28, 84.58, 68.81, 83.63)),
        (numbers.FROZEN, "random", (66.48, 49.37, 16.46, 55.25)),
        (numbers.FROZEN, "pirl", (70.40, 63.12, 24.48, 63.57)),
        (numbers.TASKS, "instance", (73.95, 40.52, 26.50, 26.79)),
        (numbers.LAMBDAS, 0.5, (73.85, None, None, None)),
        (numbers.LAMBDAS, 10.0, (71.75, None, None, None)),
        (numbers.QUEUES, 128, (73.65, None, None, None)),
        (numbers.QUEUES, 8192, (74.95, None, None, None)),
    ],
)
def test_spot_values(table, row, printed):
    found = table[row]
    assert (found.accuracy, found.precision, found.recall, found.f1) == printed


def test_the_tables_have_the_papers_rows():
    names = ["random", "imagenet", "rotation", "byol", "moco", "simclr", "pirl", "rotinstdisc"]
    for table in (numbers.ROWS, numbers.KNN, numbers.FINETUNED, numbers.FROZEN):
        assert list(table) == names
    assert list(numbers.LAMBDAS) == [0, 0.1, 0.5, 1, 5, 10]
    assert list(numbers.QUEUES) == [128, 512, 1024, 2048, 4096, 8192, 16384]
    assert numbers.TASKS["both"] == numbers.KNN["rotinstdisc"]
    assert numbers.TASKS["rotation"] == numbers.KNN["rotation"]


def test_what_the_text_says_agrees():
    """Section 2.3: 5.02 points over ImageNet fine-tuned, 6.39 over rotation, 0.6 over the instance task alone."""
    assert numbers.FINETUNED["rotinstdisc"].accuracy - numbers.FINETUNED["imagenet"].accuracy == pytest.approx(5.02)
    assert numbers.TASKS["both"].accuracy - numbers.TASKS["rotation"].accuracy == pytest.approx(6.39)
    assert numbers.TASKS["both"].accuracy - numbers.TASKS["instance"].accuracy == pytest.approx(0.6)


def test_what_the_paper_prints_on_k_is_said_beside_ours():
    text = numbers.said_of_queue(8192)
    assert "Tables 1 to 4 have K = 8,192 here" in text
    assert "their 74.55 % stands at K = 512 or 16,384 in its Table 5, which has 74.95 % at K = 8,192." in text
    assert numbers.said_of_queue(300).endswith("in its Table 5.")
