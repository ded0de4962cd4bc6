"""Bad input at the command line: one clear line, no traceback, exit status 1 (2 where click refuses the option)."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.cli import main
from dermssl.data.synthetic import write_synthetic

RUN = ["--backbone", "test_resnet", "--image-size", "32", "--batch-size", "16", "--queue-size", "32", "--epochs", "1"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return str(write_synthetic(tmp_path_factory.mktemp("synthetic"), images=50, size=40))


@pytest.fixture
def dermssl(capsys, monkeypatch):
    """Run a command; returns its exit status and what it printed on standard error."""

    def run(*args: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["dermssl", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), capsys.readouterr().err

    return run


def assert_one_error(outcome: tuple[int, str], *parts: str, status: int = 1) -> None:
    code, printed = outcome
    assert code == status, printed
    assert "Traceback" not in printed
    errors = [line for line in printed.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, printed
    for part in parts:
        assert part in errors[0]


@pytest.mark.parametrize(
    "words",
    [
        ["info", "NAME"], ["prepare", "NAME"], ["prepare", "IMAGES", "--output", "NAME/x"], ["compare", "NAME", "NAME"],
        ["eval-knn", "NAME", "IMAGES"], ["pretrain", "IMAGES", "--output", "o", "--method", "NAME"], ["NAME"],
        ["export", "NAME", "o"], ["push", "NAME", "a/b"], ["leakage", "NAME", "--output", "o"], ["info", "--NAME"],
        ["pretrain", "IMAGES", "--output", "o", "--epochs", "NAME"], ["cam", "NAME", "IMAGES", "--output", "o"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_line_end_in_a_name_makes_no_second_line(dermssl, images, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    name = "a\nError: b\x1b[2J\rc"
    (tmp_path / name).write_text("")
    code, printed = dermssl(*(word.replace("NAME", name).replace("IMAGES", images) for word in words))
    assert code in (1, 2)
    assert not {"\x1b", "\r"} & set(printed)
    assert sum(line.startswith("Error: ") for line in printed.splitlines()) == 1
    assert not any(line.startswith("Error: b") for line in printed.splitlines())


def test_a_line_end_in_a_warning_makes_no_second_line(dermssl, images, tmp_path):
    folder = Path(shutil.copytree(images, tmp_path / "data"))
    (folder / "HAM10000_images" / "a\nwarning: b\x1b.jpg").write_text("no picture")
    code, printed = dermssl("prepare", folder, "--output", tmp_path / "cache", "--size", "32")
    assert code == 0, printed
    assert "a\\nwarning: b\\x1b.jpg" in printed
    assert "\nwarning: b" not in printed


def test_an_empty_folder(dermssl, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_error(dermssl("pretrain", tmp_path / "empty", "--output", tmp_path / "run", *RUN), "empty")


def test_a_folder_without_images(dermssl, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no picture")
    assert_one_error(dermssl("pretrain", tmp_path / "texts", "--output", tmp_path / "run", *RUN), "texts")


def test_a_folder_that_is_not_there(dermssl, tmp_path):
    assert_one_error(dermssl("pretrain", tmp_path / "nowhere", "--output", tmp_path / "run", *RUN), "nowhere")


def test_too_many_unreadable_files(dermssl, tmp_path):
    folder = tmp_path / "half"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
        (folder / f"broken{i}.jpg").write_bytes(b"not a picture")
    assert_one_error(dermssl("pretrain", folder, "--output", tmp_path / "run", *RUN), "6", "unreadable")


def test_some_unreadable_files_are_counted_and_the_run_goes_on(dermssl, tmp_path, caplog):
    folder = tmp_path / "most"
    folder.mkdir()
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 256, (36, 36, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    code, _ = dermssl("pretrain", folder, "--output", tmp_path / "run", *RUN)
    assert code == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "unreadable" in log
    assert "40 images" in log


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--epochs", "0", "--epochs 0: must be 1 or more"),
        ("--lr", "-1", "--lr -1: must be above 0"),
        ("--temperature", "0", "--temperature"),
        ("--momentum", "1.5", "--momentum"),
        ("--backbone", "resnet81", "did you mean"),
        ("--method", "mocov9", "--method mocov9"),
        ("--batch-size", "51", "--batch-size 51 is larger than the data set: 50 images"),
    ],
)
def test_wrong_option_values(dermssl, images, tmp_path, option, value, part):
    outcome = dermssl("pretrain", images, "--output", tmp_path / "run", *RUN, option, value)
    assert_one_error(outcome, part)


def test_an_option_of_the_wrong_type(dermssl, images, tmp_path):
    assert_one_error(
        dermssl("pretrain", images, "--output", tmp_path / "run", "--epochs", "many"), "--epochs", "many", status=2
    )


def test_k_larger_than_the_bank(dermssl, images):
    outcome = dermssl("eval-knn", "random:test_resnet", images, "--image-size", "32", "--k", "1000")
    assert_one_error(outcome, "--k 1000", "the bank holds only")


def test_weights_that_are_not_there(dermssl, images):
    assert_one_error(dermssl("eval-knn", "runs/none", images), "runs/none", "a run directory")


def test_unlabelled_images_for_an_evaluation(dermssl, tmp_path):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    assert_one_error(dermssl("eval-knn", "random:test_resnet", tmp_path, "--image-size", "32"), "label")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission(dermssl, images, tmp_path):
    tmp_path.chmod(0o500)
    assert_one_error(dermssl("pretrain", images, "--output", tmp_path / "run", *RUN), "--output", "cannot be written")


def test_an_output_inside_a_file(dermssl, images, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = dermssl("pretrain", images, "--output", tmp_path / "file" / "run", *RUN)
    assert_one_error(outcome, "--output", "cannot be written")


def test_an_output_that_holds_another_run(dermssl, images, tmp_path):
    assert dermssl("pretrain", images, "--output", tmp_path / "run", *RUN)[0] == 0
    outcome = dermssl("pretrain", images, "--output", tmp_path / "run", *RUN, "--seed", "5")
    assert_one_error(outcome, "holds another run", "--seed 0 (now 5)", "--no-resume")


@pytest.mark.parametrize("command", ["finetune", "fewshot"])
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--freeze", "--epochs", "3"], "--epochs 3: the frozen head of --recipe default is a logistic regression"),
        (["--split", "given", "--test", "other"], "--split given takes the test part of DATA"),
    ],
)
def test_options_that_contradict_one_another_are_refused_before_the_work(dermssl, command, options, part):
    """Neither weights nor images are there, and nothing has been said of them."""
    assert_one_error(dermssl(command, "runs/none", "nowhere", *options), part)


@pytest.mark.parametrize(
    ("command", "option", "place"),
    [
        *((name, "--page", "file/x.html") for name in ("eval-knn", "finetune", "fewshot")),
        *((name, "--output", place) for name in ("finetune", "fewshot", "leakage", "cam", "project")
          for place in ("file", "file/x")),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_before_the_work(dermssl, tmp_path, command, option, place):
    """Neither weights nor images are there, and nothing has been said of them."""
    (tmp_path / "file").write_text("")
    arguments = ["nowhere"] if command == "leakage" else ["runs/none", "nowhere"]
    more = ["--output", tmp_path / "out"] if option == "--page" and command != "eval-knn" else []
    outcome = dermssl(command, *arguments, *more, option, tmp_path / place)
    assert_one_error(outcome, f"{option} {tmp_path / place}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--seed", str(2**32)], "--seed 4294967296: must be 0 or more and at most 2,147,483,647"),
        (["--seed", str(2**64)], "--seed 18446744073709551616: must be 0 or more"),
        (["--seed", "-1"], "--seed -1: must be 0 or more"),
        (["--image-size", "100000"], "--image-size 100000: must be "),
        *((["--device", name], f"--device {name}: unknown; use auto, cpu, cuda or cuda:N")
          for name in ("mps", "xla", "meta", "gpu", "cuda:x")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["eval-knn", "finetune", "fewshot", "cam", "project", "pretrain"])
def test_what_torch_does_not_take_is_refused_before_any_work(dermssl, tmp_path, command, options, part):
    """Neither weights nor images are there, and nothing has been said of them."""
    arguments = ["nowhere"] if command == "pretrain" else ["runs/none", "nowhere"]
    if command in ("cam", "project", "pretrain"):
        arguments += ["--output", tmp_path / "out"]
    assert_one_error(dermssl(command, *arguments, *options), part)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--lr", "1e300"], "--lr 1e+300: must be at most"),
        (["--lr", "nan"], "--lr nan: must be"),
        (["--epochs", str(10**18)], "--epochs 1000000000000000000: must be 1 or more and at most 1,000,000"),
        (["--batch-size", str(10**12)], "--batch-size 1000000000000: must be 2 or more and at most"),
        (["--queue-size", str(10**12)], "--queue-size 1000000000000: must be"),
        (["--workers", str(10**9)], "--workers 1000000000: must be"),
        (["--temperature", "1e300"], "--temperature 1e+300: must be"),
        (["--weight-decay", "inf"], "--weight-decay inf: must be"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_any_work(dermssl, tmp_path, options, part):
    assert_one_error(dermssl("pretrain", "nowhere", "--output", tmp_path / "out", *options), part.split(": ")[0])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["eval-knn", "random:test_resnet", ""], "DATA"),
        (["eval-knn", "", "images"], "WEIGHTS"),
        (["pretrain", "", "--output", "run"], "DATA"),
        (["pretrain", "images", "--output", ""], "--output"),
        (["prepare", " ", "--output", "cache"], "DATA"),
        (["cam", "random:test_resnet", "", "--output", "out"], "IMAGES"),
        (["eval-knn", "random:test_resnet", "images", "--predictions", ""], "--predictions"),
    ],
)
def test_an_empty_argument_is_no_folder(dermssl, monkeypatch, tmp_path, arguments, name):
    monkeypatch.chdir(tmp_path)
    assert_one_error(dermssl(*arguments), name, "must not be empty", status=2)
    assert not list(tmp_path.iterdir())
