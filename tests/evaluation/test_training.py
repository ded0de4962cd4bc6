"""Recipes, subsets of the labels and heads on frozen features."""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermssl.errors import DermsslError
from dermssl.evaluation import training
from dermssl.evaluation.arguments import FinetuneOptions
from dermssl.evaluation.features import extract_features
from dermssl.evaluation.frozen import STRENGTH, fit_head
from dermssl.evaluation.recipes import RECIPES
from dermssl.evaluation.subsets import subset
from dermssl.evaluation.training import Machine, predict, steps_of, train_network

CPU = Machine(torch.device("cpu"), torch.float32)


def features(n=200, width=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    centres = np.random.default_rng(7).normal(size=(classes, width))
    return (3 + 5 * (centres[labels] + rng.normal(size=(n, width)))).astype(np.float32), labels


def test_paper_recipe_is_what_the_paper_prints():
    recipe = RECIPES["paper"]
    assert (recipe.opt, recipe.batch_size, recipe.lr) == ("momentum", 64, 0.001)
    with pytest.raises(DermsslError, match="--recipe other: unknown; use one of default, paper"):
        FinetuneOptions(recipe="other")


class TestSubset:
    labels = np.random.default_rng(0).choice(4, 1000, p=[0.01, 0.1, 0.2, 0.69])

    def test_smaller_ones_are_inside_larger_ones(self):
        parts = [set(subset(self.labels, f, seed=3)) for f in (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 1)]
        assert all(a < b for a, b in itertools.pairwise(parts))
        assert len(parts[-1]) == 1000

    def test_every_class_keeps_its_share_and_an_image_at_least(self):
        counts = np.bincount(self.labels[subset(self.labels, 0.1, seed=0)], minlength=4)
        for count, whole in zip(counts, np.bincount(self.labels), strict=True):
            assert count == max(1, round(0.1 * whole))

    def test_the_seed_decides(self):
        draw = [subset(self.labels, 0.1, seed=seed).tolist() for seed in (0, 0, 1)]
        assert draw[0] == draw[1] != draw[2]

    def test_lesions_are_drawn_whole_and_each_class_keeps_its_share_of_them(self):
        rng = np.random.default_rng(1)
        lesion = rng.integers(300, size=1000)
        labels = np.array([0, 1, 1, 2, 2, 2, 2])[lesion % 7]
        previous: set[int] = set()
        for fraction in (0.02, 0.1, 0.5, 1):
            chosen = subset(labels, fraction, seed=0, groups=lesion.astype(str))
            assert not set(lesion[chosen]) & set(np.delete(lesion, chosen))
            assert previous <= set(chosen.tolist())
            previous = set(chosen.tolist())
            for label in range(3):
                whole = len(set(lesion[labels == label]))
                assert len(set(lesion[chosen][labels[chosen] == label])) == max(1, round(fraction * whole))

    def test_a_patient_of_two_classes_is_drawn_with_the_rarer(self):
        labels = np.array([0] * 50 + [1])
        patients = np.array([f"p{i}" for i in range(50)] + ["p0"])
        assert {0, 50} <= set(subset(labels, 0.1, seed=0, groups=patients).tolist())

    @pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
    def test_a_share_out_of_range_is_an_error(self, fraction):
        with pytest.raises(DermsslError, match="--fraction"):
            subset(self.labels, fraction, seed=0)


def test_so_many_passes_that_few_images_are_learned_too():
    recipe = RECIPES["default"]
    assert steps_of(recipe, 8000, None) == (recipe.epochs, 125)
    epochs, steps = steps_of(recipe, 80, None)
    assert epochs * steps >= recipe.least_steps
    assert steps_of(recipe, 80, 3) == (3, 2)


class TestHead:
    def test_default_equals_scikit_learn_on_standardised_features(self):
        (x, y), (test, _) = features(), features(seed=1)
        oracle = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)).fit(x, y)
        ours = fit_head(x, y, 4, RECIPES["default"]).probabilities(test)
        np.testing.assert_allclose(ours, oracle.predict_proba(test), atol=2e-3)

    def test_two_classes_equal_scikit_learn_too(self):
        (x, y), (test, _) = features(classes=2), features(classes=2, seed=1)
        oracle = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)).fit(x, y)
        ours = fit_head(x, y, 2, RECIPES["default"]).probabilities(test)
        np.testing.assert_allclose(ours, oracle.predict_proba(test), atol=2e-3)

    def test_a_class_without_training_images_is_never_the_answer(self):
        x, y = features(classes=3)
        answers = fit_head(x, np.where(y == 1, 3, y), 5, RECIPES["default"]).probabilities(x)
        assert answers.shape == (200, 5)
        assert answers[:, [1, 4]].max() < 1e-6
        np.testing.assert_allclose(answers.sum(axis=1), 1)

    def test_a_feature_that_never_moves_does_no_harm(self):
        x, y = features()
        x[:, 3] = 7.0
        assert np.isfinite(fit_head(x, y, 4, RECIPES["default"]).probabilities(x)).all()

    def test_one_class_is_an_error(self):
        x, _ = features()
        with pytest.raises(DermsslError, match="one class only"):
            fit_head(x, np.zeros(200, int), 4, RECIPES["default"])

    def test_paper_head_learns_and_repeats_itself(self):
        x, y = features()
        first, again = (fit_head(x / 10, y, 4, RECIPES["paper"], epochs=60).probabilities(x / 10) for _ in range(2))
        assert (first.argmax(axis=1) == y).mean() > 0.6
        np.testing.assert_array_equal(first, again)


def coloured(n=96):
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=n)
    colours = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200)])
    images = colours[labels][:, None, None] + rng.normal(0, 40, (n, 36, 36, 3))
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("name", ["default", "paper"])
def test_a_network_learns_colours(name):
    images, labels = coloured()
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    rows = np.arange(64)
    recipe = dataclasses.replace(RECIPES[name], batch_size=16, lr=0.005 if name == "paper" else 5e-4)
    seen = []
    train_network(
        model,
        images,
        rows,
        labels[rows],
        recipe,
        image_size=32,
        epochs=6,
        machine=CPU,
        seed=0,
        on_step=lambda step, loss: seen.append(step),
    )
    answers = predict(model, images, np.arange(64, 96), image_size=32, machine=CPU)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    assert (answers.argmax(axis=1) == labels[64:]).mean() > 0.8
    assert seen[-1] == 24


def test_training_repeats_itself_whatever_the_global_random_state():
    images, labels = coloured(32)
    weights = []
    for other in (1, 2):
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", num_classes=3)
        torch.manual_seed(other)
        options = {"image_size": 32, "epochs": 1, "machine": CPU, "seed": 5, "on_step": lambda step, loss: None}
        train_network(model, images, np.arange(32), labels, RECIPES["default"], **options)
        weights.append(model.fc.weight.detach().clone())
    assert torch.equal(*weights)


def test_a_loss_that_is_no_number_is_an_error():
    images, labels = coloured(32)
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.constant_(model.fc.weight, float("inf"))
    options = {"image_size": 32, "epochs": 1, "machine": CPU, "seed": 5, "on_step": lambda step, loss: None}
    with pytest.raises(DermsslError, match="the loss became nan"):
        train_network(model, images, np.arange(32), labels, RECIPES["default"], **options)


def test_a_backward_pass_in_float32_is_exact_too(monkeypatch):
    """On CUDA it would round to TF32 outside of `exact_float32`, which the forward pass leaves when it ends."""
    active: list[bool] = []
    backward: list[bool] = []

    @contextlib.contextmanager
    def exact(device, dtype):
        active.append(True)
        yield
        active.pop()

    monkeypatch.setattr(training, "exact_float32", exact)
    model = timm.create_model("test_resnet", num_classes=2)
    next(model.parameters()).register_hook(lambda gradient: backward.append(bool(active)))
    images = np.random.default_rng(0).integers(0, 256, (8, 36, 36, 3), dtype=np.uint8)
    train_network(
        model, images, np.arange(8), np.arange(8) % 2, RECIPES["paper"],
        image_size=32, epochs=2, machine=CPU, seed=0, on_step=lambda step, loss: None,
    )  # fmt: skip
    assert backward == [True, True]


def test_out_of_memory_names_a_size(monkeypatch):
    """One line, as in pretraining; the recipe's batch is no option."""

    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.2,) * 3}

        def forward(self, inputs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    images = np.zeros((8, 72, 72, 3), np.uint8)
    with pytest.raises(
        DermsslError, match=r"out of memory on cpu at a batch of 8 images of 64 px; try --image-size 32$"
    ):
        train_network(
            Large(), images, np.arange(8), np.arange(8) % 2, RECIPES["paper"],
            image_size=64, epochs=1, machine=CPU, seed=0, on_step=lambda step, loss: None,
        )  # fmt: skip
    with pytest.raises(DermsslError, match=r"batch of 256 .*; try --image-size 32, or a smaller --batch-size"):
        extract_features(Large(), images, image_size=64, device="cpu", precision="fp32")
