"""pretrain as a whole: what it leaves, how it resumes, what it refuses."""

import json
import logging
import math
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import dermssl
from dermssl import DermsslError
from dermssl.data.prepare import prepare
from dermssl.pretraining import loop as loop_module
from dermssl.pretraining import run as run_module
from dermssl.pretraining.loop import Interrupted, Loop
from dermssl.pretraining.trainer import Trainer


def weights(run) -> dict[str, torch.Tensor]:
    return dermssl.load_backbone(run).state_dict()


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def comparable(history) -> list[dict]:
    """Metrics without what the clock decides."""
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in history]


def test_a_run_directory_holds_everything(images, tiny, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dermssl")
    result = dermssl.pretrain(images, tmp_path / "run", eval_data=str(images), eval_every=2, **tiny)
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} >= {"config.json", "metrics.jsonl", "checkpoint.pt", "backbone", "log.txt"}
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["queue_size"] == 32
    assert config["resolved"]["lr"] == pytest.approx(0.06 * 16 / 128)
    assert config["data"]["images"] == 50
    assert len(config["data"]["content_hash"]) >= 32
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert history == result.history
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert [line["step"] for line in history] == [3, 6, 9]
    for line in history:
        assert {"loss", "loss_instance", "loss_rotation", "lr", "images_per_second", "seconds"} <= line.keys()
        assert line["loss"] == pytest.approx(line["loss_instance"] + 0.1 * line["loss_rotation"], rel=1e-5)
    assert ["knn_accuracy" in line for line in history] == [False, True, True]
    assert "epoch 3/3" in (run / "log.txt").read_text()
    assert not list(run.glob(".*.part"))

    in_timm = timm.create_model(f"local-dir:{run / 'backbone'}", pretrained=True, num_classes=0).eval()
    image = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(in_timm(image), result.backbone(image))


def test_training_changes_the_weights_and_the_seed_decides(images, tiny, tmp_path):
    first = dermssl.pretrain(images, tmp_path / "a", **tiny)
    again = dermssl.pretrain(images, tmp_path / "b", **tiny)
    other = dermssl.pretrain(images, tmp_path / "c", **{**tiny, "seed": 1})
    assert_equal(first.backbone.state_dict(), again.backbone.state_dict())
    assert comparable(first.history) == comparable(again.history)
    assert not torch.equal(first.backbone.conv1[0].weight, other.backbone.conv1[0].weight)
    start = dermssl.load_backbone(f"random:{tiny['backbone']}")
    assert not torch.equal(first.backbone.conv1[0].weight, start.conv1[0].weight)


def test_the_global_random_state_is_left_alone(images, tiny, tmp_path):
    torch.manual_seed(7)
    before, np_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1})
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == np_before).all()  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 3, 4])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_with_a_checkpoint_and_resume_is_exact(
    images, tiny, tmp_path, monkeypatch, stop_after, number, signal_after
):
    """Stopped inside an epoch (2, 4) and at its end (3). A backbone with stochastic depth draws global noise too."""
    tiny["backbone"] = "efficientnet_b0" if stop_after == 4 else tiny["backbone"]
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", **tiny)

    signal_after(monkeypatch, stop_after, number)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=f"stopped by {number.name} after step {stop_after} of 9"):
        dermssl.pretrain(images, tmp_path / "broken", **tiny)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    monkeypatch.undo()
    assert (tmp_path / "broken" / "backbone" / "model.safetensors").exists()

    resumed = dermssl.pretrain(images, tmp_path / "broken", **tiny)
    assert_equal(unbroken.backbone.state_dict(), resumed.backbone.state_dict())
    assert comparable(unbroken.history) == comparable(resumed.history)


def test_a_run_goes_on_with_its_own_batch_where_the_default_is_another(
    images, tiny, tmp_path, monkeypatch, signal_after
):
    del tiny["batch_size"]
    monkeypatch.setattr(run_module, "batch_size", lambda config, device: 10)  # as on the CPU
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", **tiny)
    with monkeypatch.context() as patch:
        signal_after(patch, 7)
        with pytest.raises(Interrupted):
            dermssl.pretrain(images, tmp_path / "moved", **tiny)
    monkeypatch.setattr(run_module, "batch_size", lambda config, device: 25)  # as on a GPU
    moved = dermssl.pretrain(images, tmp_path / "moved", **tiny)
    assert_equal(unbroken.backbone.state_dict(), moved.backbone.state_dict())
    assert moved.history[-1]["step"] == 15


def test_a_backbone_of_an_earlier_step_is_not_the_end(images, tiny, tmp_path, monkeypatch, signal_after):
    """Stopped, gone on with, and the disk full at the very last write."""
    unbroken = dermssl.pretrain(images, tmp_path / "unbroken", **tiny)
    with monkeypatch.context() as patch:
        signal_after(patch, 4)
        with pytest.raises(Interrupted):
            dermssl.pretrain(images, tmp_path / "run", **tiny)

    def full(*_):
        raise DermsslError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_write_backbone", full)
        with pytest.raises(DermsslError, match="No space left"):
            dermssl.pretrain(images, tmp_path / "run", **tiny)
    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    finished = dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert_equal(unbroken.backbone.state_dict(), finished.backbone.state_dict())


@pytest.mark.slow
def test_kill_9_loses_nothing_before_the_last_checkpoint(images, tiny, tmp_path):
    code = (
        "import dermssl; "
        f"dermssl.pretrain({str(images)!r}, {str(tmp_path / 'run')!r}, checkpoint_every=0, "
        f"**{ {**tiny, 'epochs': 200}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 3):
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    # the kill may come between two renames: then the checkpoint before stands under its own name only
    names = ("checkpoint.pt", "checkpoint.previous.pt")
    last = next(file for name in names if (file := tmp_path / "run" / name).exists())
    state = torch.load(last, weights_only=True)
    assert state["step"] >= 3, "at most the epoch after the last checkpoint is lost"
    assert not (tmp_path / "run" / "backbone").exists()

    # the rest of 200 epochs would take long: go on for one epoch and see that nothing is counted twice
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["epochs"] == 200
    done = state["step"] // 3

    class EnoughError(Exception):
        pass

    def stop(*_):
        raise EnoughError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "describe_epoch", stop)
        with pytest.raises(EnoughError):
            dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 200})
    epochs = [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()]
    assert epochs == list(range(1, done + 2))


def test_a_finished_run_is_not_done_again(images, tiny, tmp_path, monkeypatch):
    tiny["epochs"] = 1
    first = dermssl.pretrain(images, tmp_path / "run", **tiny)
    monkeypatch.setattr(Trainer, "train_epoch", lambda *_: pytest.fail("trained again"))
    again = dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert_equal(first.backbone.state_dict(), again.backbone.state_dict())
    assert again.history == first.history


def test_no_resume_starts_over_and_keeps_the_old_run(images, tiny, tmp_path):
    tiny["epochs"] = 1
    old = dermssl.pretrain(images, tmp_path / "run", **tiny)
    dermssl.pretrain(images, tmp_path / "run", resume=False, **{**tiny, "seed": 1})
    assert_equal(old.backbone.state_dict(), weights(tmp_path / "run.old-1"))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["seed"] == 1


def test_no_resume_leaves_a_run_alone_that_another_process_writes(images, tiny, tmp_path):
    from dermssl.pretraining.run_directory import RunDirectory

    tiny["epochs"] = 1
    dermssl.pretrain(images, tmp_path / "run", **tiny)
    with RunDirectory(tmp_path / "run").locked(), pytest.raises(DermsslError, match="another process is writing"):
        dermssl.pretrain(images, tmp_path / "run", resume=False, **tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_no_resume_in_the_current_folder(images, tiny, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    for _ in range(2):
        dermssl.pretrain(images, ".", resume=False, **{**tiny, "epochs": 1})
        monkeypatch.chdir(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.old-1"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image\n{}", "none of its 50 images carries a label"),
        ("image,label\n{},a", "all 50 labelled images are of one class"),
        ("image,label,group\n{},{class},{patient}", "3 lesions or patients cannot be split into 5 folds$"),
    ],
)
def test_eval_data_that_cannot_be_evaluated_is_refused_before_training(images, tiny, tmp_path, table, message):
    labelled = shutil.copytree(images / "HAM10000_images", tmp_path / "labelled")
    head, row = table.split("\n")
    rows = [
        row.format(file.name, **{"class": "ab"[number % 2], "patient": f"p{number % 3}"})
        for number, file in enumerate(sorted(labelled.iterdir()))
    ]
    (labelled / "table.csv").write_text("\n".join([head, *rows]) + "\n")
    with pytest.raises(DermsslError, match=f"^--eval-data .*: .*{message}"):
        dermssl.pretrain(images, tmp_path / "run", eval_data=str(labelled), **tiny)


def test_eval_data_are_framed_as_the_images_of_a_prepared_cache(tiny, tmp_path):
    """The option says squash, the cache crop: so were the weights trained, and so are they evaluated afterwards."""
    (tmp_path / "wide").mkdir()
    rows = ["image,label"]
    for i in range(24):  # whose ends tell the class, and whose middle square tells nothing
        pixels = np.random.default_rng(i).integers(100, 140, (40, 80, 3), dtype=np.uint8)
        pixels[:, :16] = pixels[:, -16:] = (220, 30, 30) if i % 2 else (30, 30, 220)
        Image.fromarray(pixels).save(tmp_path / "wide" / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 2]}")
    (tmp_path / "wide" / "images.csv").write_text("\n".join(rows) + "\n")
    cache = prepare(tmp_path / "wide", tmp_path / "cache", size=36, fit="crop", progress=False)
    options = {**tiny, "epochs": 1, "precision": "fp32", "eval_data": str(tmp_path / "wide")}
    result = dermssl.pretrain(cache.path, tmp_path / "run", **options)
    report = dermssl.evaluate_knn(result.run, tmp_path / "wide", k=9, device="cpu")
    assert report.protocol["fit"] == "crop"
    assert result.history[-1]["knn_accuracy"] == report.metrics["accuracy"] < 0.9


def test_limit_draws_images(images, tiny, tmp_path):
    result = dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1, "limit": 40})
    assert result.history[-1]["step"] == 2
    assert json.loads((tmp_path / "run" / "config.json").read_text())["resolved"]["images"] == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet81"}, "--backbone resnet81.*did you mean.*resnet"),
        ({"method": "mocov9"}, "--method mocov9: unknown; use one of rotinstdisc"),
        ({"opt": "sdgp"}, r"--opt sdgp: timm has no such optimizer; did you mean sgdp"),
        ({"opt": "adahessian"}, "--opt adahessian: needs second derivatives"),
        ({"sched": "cosinus"}, "--sched cosinus: unknown; use one of cosine, tanh"),
        ({"sched": "plateau"}, "--sched plateau: unknown; use one of"),
        ({"sched": "rsqrt", "warmup_epochs": 0}, r"--sched rsqrt: not with --warmup-epochs 0 of 3 \(.*change one of"),
        ({"limit": 1}, "--limit 1: a step takes 2 or more"),
        ({"batch_size": 1}, "--batch-size 1: must be 2 or more"),
        ({"batch_size": 51}, "--batch-size 51 is larger than the data set: 50 images"),
    ],
)
def test_what_does_not_fit_is_named(images, tiny, tmp_path, changes, message):
    with pytest.raises(DermsslError, match=message):
        dermssl.pretrain(images, tmp_path / "run", **{**tiny, **changes})
    # and the folder is not spoiled for a corrected try
    result = dermssl.pretrain(images, tmp_path / "run", **{**tiny, "epochs": 1})
    assert len(result.history) == 1


@pytest.mark.parametrize("changes", [{"opt": "sgdd"}, {"sched": "cosinus"}])
def test_a_wrong_name_is_refused_before_an_image_is_read(tiny, tmp_path, changes):
    with pytest.raises(DermsslError, match=f"--{next(iter(changes))}"):
        dermssl.pretrain(tmp_path / "nowhere", tmp_path / "run", **{**tiny, **changes})
    assert not (tmp_path / "run").exists()


def test_a_run_inside_its_images_says_what_comes_of_it(images, tiny, tmp_path, caplog):
    shutil.copytree(images, tmp_path / "data")
    tiny["epochs"] = 1
    dermssl.pretrain(tmp_path / "data", tmp_path / "run", **tiny)
    assert "is inside DATA" not in caplog.text
    dermssl.pretrain(tmp_path / "data", tmp_path / "data" / "run", **tiny)
    assert "data/run is inside DATA: pictures that are put there later" in caplog.text


def test_one_image_is_too_few(images, tiny, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(next(images.rglob("*.jpg")), tmp_path / "one")
    with pytest.raises(DermsslError, match="one holds one image that can be used: a step takes 2 or more"):
        dermssl.pretrain(tmp_path / "one", tmp_path / "run", **tiny)


def test_an_output_that_holds_another_run_is_refused(images, tiny, tmp_path):
    tiny["epochs"] = 1
    dermssl.pretrain(images, tmp_path / "run", **tiny)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(DermsslError, match=r"holds another run: --queue-size 32 \(now 16\).*--no-resume"):
        dermssl.pretrain(images, tmp_path / "run", **{**tiny, "queue_size": 16})
    other = tmp_path / "other"
    other.mkdir()
    from PIL import Image

    for i in range(40):
        Image.fromarray(np.full((40, 40, 3), i, np.uint8)).save(other / f"{i}.png")
    with pytest.raises(DermsslError, match="holds a run on other images"):
        dermssl.pretrain(other, tmp_path / "run", **tiny)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_an_output_with_foreign_files_is_refused(images, tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(DermsslError, match=r"holds files that are not a run's \(thesis.tex\)"):
        dermssl.pretrain(images, tmp_path, **tiny)
    assert (tmp_path / "thesis.tex").read_text() == "chapter 1"


def test_an_output_where_a_process_was_killed_in_its_first_write_is_used(images, tiny, tmp_path):
    (tmp_path / ".config.json.1.part").write_text('{"con')
    dermssl.pretrain(images, tmp_path, **tiny)
    assert (tmp_path / "checkpoint.pt").exists()


def test_an_output_that_cannot_be_made_is_refused(images, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DermsslError, match=r"--output .*file.run: cannot be written"):
        dermssl.pretrain(images, tmp_path / "file" / "run", **tiny)


def test_a_damaged_checkpoint_is_named(images, tiny, tmp_path):
    tiny["epochs"] = 1
    dermssl.pretrain(images, tmp_path / "run", **tiny)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(DermsslError, match=r"checkpoint.pt cannot be read .*--no-resume"):
        dermssl.pretrain(images, tmp_path / "run", **tiny)


def test_a_nan_stops_the_run_and_keeps_the_last_checkpoint(images, tiny, tmp_path, monkeypatch):
    tiny["checkpoint_every"] = 0
    plain_step = Trainer._train_step

    def poisoned(trainer, *batch):
        if trainer.step == 4:
            with torch.no_grad():
                next(trainer.task.backbone.parameters()).fill_(math.nan)
        return plain_step(trainer, *batch)

    monkeypatch.setattr(Trainer, "_train_step", poisoned)
    with pytest.raises(DermsslError, match=r"the loss is nan at step 5 \(epoch 2\).*--lr"):
        dermssl.pretrain(images, tmp_path / "run", **tiny)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4, "checkpoints are written within epochs, too"
    assert all(torch.isfinite(t).all() for t in state["state_dict"].values() if t.is_floating_point())


def test_a_frozen_loss_is_reported(images, tiny, tmp_path, monkeypatch, caplog):
    """Embeddings that are all the same: the loss of guessing, as in lightly#1007."""
    from dermssl.methods import rotinstdisc

    def embed(encoder, pictures):
        return encoder.instance_head(encoder.backbone(pictures)) * 0 + 1

    def collapsed(encoder, pictures):
        return embed(encoder, pictures), encoder.rotation_head(encoder.backbone(pictures))

    monkeypatch.setattr(rotinstdisc.TwoHeadEncoder, "forward", collapsed)
    monkeypatch.setattr(rotinstdisc.TwoHeadEncoder, "embed", embed)  # of the key encoder, which has no rotation head
    tiny["batch_size"], tiny["queue_size"] = 25, 25
    with caplog.at_level(logging.WARNING, "dermssl"):
        dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert "the value of guessing" in caplog.text


def test_two_processes_cannot_write_one_run(images, tiny, tmp_path):
    from dermssl.pretraining.run_directory import RunDirectory

    run = RunDirectory(tmp_path / "run")
    run.create()
    with run.locked(), pytest.raises(DermsslError, match="another process is writing this run"):
        dermssl.pretrain(images, tmp_path / "run", **tiny)


def test_bf16_and_fp32_run_and_cosine_momentum_rises(images, tiny, tmp_path):
    tiny["epochs"] = 1
    for precision in ("bf16", "fp32"):
        result = dermssl.pretrain(images, tmp_path / precision, precision=precision, **tiny)
        assert math.isfinite(result.history[-1]["loss"])
    result = dermssl.pretrain(images, tmp_path / "cosine", momentum_schedule="cosine", **tiny)
    assert math.isfinite(result.history[-1]["loss"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_runs_and_resumes(images, tiny, tmp_path):
    tiny["device"] = "cuda"
    result = dermssl.pretrain(images, tmp_path / "run", **tiny)
    assert math.isfinite(result.history[-1]["loss"])
