"""What no file can be called is refused in the words of its option, everywhere; so is what nobody foresaw."""

import errno
import sys

import click
import pytest

import dermssl
from dermssl import DermsslError
from dermssl.cli import main


@pytest.mark.parametrize("name", ["n" * 300, "/" + "n" * 300, "x/" * 3000])
@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "NAME", "--output", "o"], ["pretrain", ".", "--output", "NAME"],
        ["pretrain", ".", "--output", "o", "--eval-data", "NAME"], ["prepare", "NAME", "--output", "o"],
        ["prepare", ".", "--output", "NAME"], ["eval-knn", "NAME", "."], ["eval-knn", "random:test_resnet", "NAME"],
        ["eval-knn", "random:test_resnet", ".", "--predictions", "NAME"], ["info", "NAME"], ["compare", "NAME", "NAME"],
        ["eval-knn", "random:test_resnet", ".", "--join", "NAME"], ["cam", "NAME", ".", "--output", "o"],
        ["finetune", "random:test_resnet", ".", "--output", "NAME"], ["fewshot", "NAME", "."], ["export", "NAME", "o"],
        ["export", ".", "NAME"], ["push", "NAME", "a/b"], ["leakage", "NAME", "--output", "o"],
        ["reproduce", "--pretrain-data", "NAME", "--eval-data", ".", "--output", "o"], ["demo", "--output", "NAME"],
        ["embed", "random:test_resnet", ".", "--output", "NAME.npz"], ["project", "NAME", ".", "--output", "o"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_is_too_long_is_refused(monkeypatch, tmp_path, capsys, name, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dermssl", *(word.replace("NAME", name) for word in words)])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code in (1, 2)
    assert "too long for the name of a file; give a shorter one" in error
    assert len(error) < 1000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "\ud800"])
def test_python_refuses_names_of_no_file_too(name):
    calls = (
        lambda: dermssl.load_backbone(name),
        lambda: dermssl.evaluate_knn("random:test_resnet", name),
        lambda: dermssl.pretrain(name, "o"),
        lambda: dermssl.pretrain(".", name),
        lambda: dermssl.embed("random:test_resnet", ".", output=name),
    )
    for call in calls:
        with pytest.raises(DermsslError, match="name of a file"):
            call()


def test_what_no_room_foresaw_is_one_line(monkeypatch, capsys):
    def fail(**_):
        raise OSError(errno.EIO, "Input/output error", "/mnt/share/a.png")

    monkeypatch.setattr("dermssl.hub.info.environment", fail)
    monkeypatch.setattr(sys, "argv", ["dermssl", "info"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "Error: /mnt/share/a.png cannot be read: Input/output error; check the disk and try again\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), 1, "out of memory"),
        (MemoryError(), 1, "out of memory; lower --image-size, --batch-size or --workers"),
        (click.Abort(), 130, "Stopped by SIGINT."),
    ],
    ids=["allocator", "python", "abort"],
)
def test_memory_that_is_not_enough_is_one_line(monkeypatch, capsys, error, status, said):
    def fail(**_):
        raise error

    monkeypatch.setattr("dermssl.hub.info.environment", fail)
    monkeypatch.setattr(sys, "argv", ["dermssl", "info"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    assert said in capsys.readouterr().err


def test_a_fault_of_ours_is_no_error_of_memory(monkeypatch):
    def fail(**_):
        raise RuntimeError("a fault")

    monkeypatch.setattr("dermssl.hub.info.environment", fail)
    monkeypatch.setattr(sys, "argv", ["dermssl", "info"])
    with pytest.raises(RuntimeError, match="a fault"):
        main()
