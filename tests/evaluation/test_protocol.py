"""Who trains and who is tested: copies and pairs are one group, and the data's own division is kept."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dermssl.cli.eval_knn import command
from dermssl.data.joining import ham10000_pairs
from dermssl.errors import DermsslError
from dermssl.evaluation.finetune import finetune
from dermssl.evaluation.knn import evaluate_knn

from .conftest import write_set

OPTIONS = {"k": 1, "folds": 3, "image_size": 32, "device": "cpu"}


def rewritten(table, change, header=None):
    """The table with ``change(rows)``."""
    rows = list(csv.reader(table.open()))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header or rows[0], *change(rows[1:])])
    return table


def with_copies(folder, groups=True):
    """40 images of noise, each copied once under another name and another group: nothing to learn but the copies."""
    data = write_set(folder, {"mel": 20, "nv": 20}, groups=groups)
    rng = np.random.default_rng(0)

    def doubled(rows):
        labels = rng.permutation([row[1] for row in rows])  # labels that say nothing of the pictures
        for row, label in zip(rows, labels, strict=True):
            shutil.copy(folder / row[0], folder / f"copy_{row[0]}")
            yield [row[0], label, *([f"a-{row[0]}"] if groups else [])]
            yield [f"copy_{row[0]}", label, *([f"b-{row[0]}"] if groups else [])]

    return rewritten(data, lambda rows: list(doubled(rows)))


@pytest.mark.parametrize("groups", [True, False])
def test_copies_under_two_groups_are_never_on_both_sides_and_the_report_says_so(tmp_path, groups):
    data = with_copies(tmp_path / "set", groups)
    for _ in range(2):  # when the cache is made, and when it is opened again
        report = evaluate_knn("random:test_resnet", data, **OPTIONS)
        answers = report.predictions.sorted()
        fold = dict(zip(answers.images.tolist(), answers.folds.tolist(), strict=True))
        assert all(fold[name] == fold[f"copy_{name}"] for name in fold if not name.startswith("copy_"))
        assert report.metrics["accuracy"] < 0.75
        assert report.records["train"]["copies"] == report.records["train"]["groups_joined"] == 40
        assert any("40 images of DATA are byte-for-byte copies of others" in note for note in report.notes)
    plain = evaluate_knn("random:test_resnet", data, split="paper", **OPTIONS)
    assert plain.metrics["accuracy"] > report.metrics["accuracy"]
    assert plain.split["groups_cut"] > 0


def test_copies_with_two_labels_are_said(tmp_path):
    data = with_copies(tmp_path / "set")
    rewritten(data, lambda rows: [[r[0], "bkl" if r[0] == rows[0][0] else r[1], r[2]] for r in rows])
    report = evaluate_knn("random:test_resnet", data, **OPTIONS)
    assert any("1 of them carry another label" in note for note in report.notes)


def test_test_images_that_copy_training_images_are_said(labelled, tmp_path):
    test = write_set(tmp_path / "set", {"bkl": 4, "mel": 4, "nv": 4}, seed=9)
    source = sorted(labelled.parent.glob("nv_*.png"))[0]
    shutil.copy(source, sorted(test.parent.glob("nv_*.png"))[0])
    report = evaluate_knn("random:test_resnet", labelled, test=test, **OPTIONS)
    assert report.split["copies_in_training"] == 1
    assert report.split["shared_images"] == 2  # the copy, and the other image of the lesion it is in
    assert any("1 of the 12 test images are byte-for-byte copies of training images" in note for note in report.notes)


def test_classes_of_a_test_set_are_matched_by_their_diagnosis_too(tmp_path):
    """MEL and NV become mel and nv in a set of known diagnoses only, and stay as they are beside others."""
    capitals = {"mel": "MEL", "nv": "NV", "bkl": "cyst"}

    def spelled(name, counts, seed):
        data = write_set(tmp_path / name, counts, seed=seed)
        return rewritten(data, lambda rows: [[row[0], capitals[row[1]], *row[2:]] for row in rows])

    both, known = spelled("both", {"bkl": 8, "mel": 8, "nv": 8}, 1), spelled("known", {"mel": 4, "nv": 4}, 2)
    report = evaluate_knn("random:test_resnet", both, test=known, **OPTIONS)
    assert report.classes == ("MEL", "NV", "cyst")
    assert [report.per_class[name]["support"] for name in report.classes] == [4, 4, 0]
    with pytest.raises(DermsslError, match="its classes cyst are unknown to the training data, which has mel, nv"):
        evaluate_knn("random:test_resnet", known, test=both, **OPTIONS)


def test_pairs_join_groups(labelled, tmp_path):
    before = evaluate_knn("random:test_resnet", labelled, **OPTIONS)
    one, other = "nv_0_1.png", "mel_0_3.png"
    (tmp_path / "pairs.csv").write_text(f"first,second\n{one},{other}\nmissing,{one}\n")
    report = evaluate_knn("random:test_resnet", labelled, join=tmp_path / "pairs.csv", **OPTIONS)
    answers = report.predictions
    group = dict(zip(answers.images.tolist(), answers.groups.tolist(), strict=True))
    assert group[one] == group[other]
    assert report.split["groups"] == before.split["groups"] - 1
    assert any("1 pairs of images joined 1 groups to others; 1 pairs name images" in note for note in report.notes)


def test_the_known_pairs_are_joined_by_their_names_wherever_the_images_have_come_to(tmp_path):
    """A folder for each class, another table: the Archive's number is the same."""
    (one, other), *_ = ham10000_pairs()
    for label, names in {"mel": "abcdef", "nv": (one, other, *"ghij")}.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for name in names:
            pixels = np.random.default_rng(list(name.encode())).integers(256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / label / f"{name}.png")
    report = evaluate_knn("random:test_resnet", tmp_path / "set", **OPTIONS)
    answers = report.predictions
    group = dict(zip(answers.images.tolist(), answers.groups.tolist(), strict=True))
    assert group[f"nv/{one}.png"] == group[f"nv/{other}.png"]
    assert report.split["groups"] == 11
    notes = "\n".join(report.notes)
    assert "1 pairs of images show one lesion under two ids: 1 groups fewer (Abhishek" in notes
    assert "names no lesions or patients: every image, but for copies and pairs, is its own group" in notes
    (tmp_path / "other" / "nv").mkdir(parents=True)
    (tmp_path / "other" / "mel").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "other" / "mel" / "z.png")
    (tmp_path / "set" / "nv" / f"{other}.png").rename(tmp_path / "other" / "nv" / f"{other}.png")
    halves = evaluate_knn("random:test_resnet", tmp_path / "set", test=tmp_path / "other", **OPTIONS)
    assert (halves.split["shared_images"], halves.split["copies_in_training"]) == (1, 0)


def test_pairs_across_training_and_test_set_are_counted(labelled, other, tmp_path):
    (tmp_path / "pairs.csv").write_text("nv_0_1.png,nv_1_0.png\n")
    report = evaluate_knn("random:test_resnet", labelled, test=other, join=tmp_path / "pairs.csv", **OPTIONS)
    assert report.split["shared_images"] == 2  # nv_1_0 and the other image of its lesion


class TestGiven:
    """--split given"""

    @pytest.fixture
    def divided(self, tmp_path):
        """45 images: 24 to train, 9 to choose, 12 to test; 3 more without a part."""
        data = write_set(tmp_path / "set", {"bkl": 16, "mel": 16, "nv": 16}, groups=False)
        parts = ["train"] * 8 + ["Validation"] * 3 + ["test"] * 4 + [""]
        return rewritten(
            data,
            lambda rows: [[*row[:2], f"g{i}", parts[i % 16]] for i, row in enumerate(rows)],
            ["image", "label", "group", "split"],
        )

    def test_trains_on_train_and_tests_on_test(self, divided):
        report = evaluate_knn("random:test_resnet", divided, split="given", **OPTIONS)
        assert (report.split["train"], report.split["val"], report.split["test"]) == (24, 9, 12)
        assert report.folds[0]["train_images"] == 24
        assert len(report.predictions) == 12
        tested = {row[0] for row in csv.reader(divided.open()) if row[3] == "test"}
        assert set(report.predictions.images.tolist()) == tested
        assert report.protocol["split"] == "given"
        assert report.protocol["folds"] is None
        assert any("3 images are in no part" in note for note in report.notes)
        assert any("the validation part (9 images) is not used" in note for note in report.notes)
        assert np.isfinite(report.interval["accuracy"]).all()

    def test_the_validation_part_chooses_the_strength_and_trains_nothing(self, divided):
        options = {"image_size": 32, "device": "cpu", "freeze": True, "split": "given"}
        report = finetune("random:test_resnet", divided, **options)
        assert report.protocol["train_images"] == [24]
        assert report.protocol["training"]["chosen_by"] == "log loss on the validation images"
        assert any("9 images) chose the strength of the classifier; nothing was trained" in n for n in report.notes)
        network = finetune("random:test_resnet", divided, **options | {"freeze": False, "epochs": 1})
        assert any("9 images) is not used" in note for note in network.notes)

    def test_without_a_validation_part_the_strength_is_chosen_in_the_training_part(self, divided):
        rewritten(divided, lambda rows: [[*r[:3], "" if r[3] == "Validation" else r[3]] for r in rows])
        report = finetune("random:test_resnet", divided, image_size=32, device="cpu", freeze=True, split="given")
        assert report.protocol["training"]["chosen_by"] == "log loss on 3 grouped folds of the training images"

    def test_a_lesion_in_two_parts_is_said(self, divided):
        rewritten(divided, lambda rows: [[*r[:2], "same" if i in (0, 12) else r[2], r[3]] for i, r in enumerate(rows)])
        report = evaluate_knn("random:test_resnet", divided, split="given", **OPTIONS)
        assert report.split["shared_images"] == 1
        assert report.split["groups_cut"] == 1
        assert any("1 of the 12 test images are of a group that occurs in the training" in n for n in report.notes)
        assert "1 of them with several images: 1 have images in more than one part\n" in report.to_markdown()

    @pytest.mark.parametrize("missing", ["train", "test"])
    def test_a_missing_part_is_an_error(self, divided, missing):
        rewritten(divided, lambda rows: [r for r in rows if r[3] != missing])
        with pytest.raises(DermsslError, match=f"--split given: no labelled image of .* is in the part {missing} "):
            evaluate_knn("random:test_resnet", divided, split="given", **OPTIONS)

    def test_other_errors(self, labelled, divided):
        with pytest.raises(DermsslError, match=r"--split given: .* has no column 'split'"):
            evaluate_knn("random:test_resnet", labelled, split="given", **OPTIONS)
        with pytest.raises(DermsslError, match="--split given takes the test part of DATA: leave out --test"):
            evaluate_knn("random:test_resnet", divided, test=labelled, split="given", **OPTIONS)
        rewritten(divided, lambda rows: [[r[0], "vasc" if r[3] == "test" else r[1], *r[2:]] for r in rows])
        with pytest.raises(DermsslError, match="the classes vasc of the test part have no image in the training part"):
            evaluate_knn("random:test_resnet", divided, split="given", **OPTIONS)

    def test_the_command(self, divided):
        arguments = ["random:test_resnet", str(divided), "--split", "given", "--k", "3", "--image-size", "32", "--json"]
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["split"]["val"] == 9


@pytest.mark.parametrize("seed", [2**32, 2**64, -1])
@pytest.mark.parametrize("evaluate", [evaluate_knn, finetune])
def test_seeds_out_of_range_are_refused_in_their_own_words(labelled, evaluate, seed):
    with pytest.raises(DermsslError, match=f"--seed {seed}: must be 0 or more and at most"):
        evaluate("random:test_resnet", labelled, seed=seed, image_size=32, device="cpu")
