"""export: the files, what timm makes of them, the card, and what is refused."""

import json
import os
import shlex
import shutil
from pathlib import Path

import click
import pytest
import timm
import torch
from click.testing import CliRunner
from hub_fixtures import write_report, write_run
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file

from dermssl.backbones.create import create_backbone
from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.cli import group
from dermssl.cli.export import command
from dermssl.errors import DermsslError
from dermssl.hub import check as checking
from dermssl.hub import drafts
from dermssl.hub import export as exporting
from dermssl.hub.card import card
from dermssl.hub.export import export
from dermssl.hub.exported import FILES, read_export
from dermssl.hub.front_matter import check_card
from dermssl.hub.info import describe
from dermssl.hub.push import push
from dermssl.hub.verify import verify
from dermssl.pretraining.record import earlier_runs

BACKBONES = [
    "resnet18",
    "resnet50",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "vgg11_bn",
    "ghostnet_100",
]


@pytest.fixture
def unverified(monkeypatch):
    """Skip the fresh process, for tests of something else."""
    monkeypatch.setattr(exporting, "_verify", lambda *_: None)


def test_files_and_weights(run, exported):
    assert sorted(file.name for file in exported.iterdir()) == sorted(FILES)
    model, wanted = timm.create_model(f"local-dir:{exported}", pretrained=True), load_backbone(run).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())
    assert load_file(exported / "model.safetensors").keys() == wanted.keys()
    assert model.pretrained_cfg["tag"] == "dermssl_ham10000"
    assert model.pretrained_cfg["license"] == "cc-by-nc-4.0"
    assert {(exported / name).stat().st_mode for name in FILES} == {(exported / "config.json").stat().st_mode}
    assert checking._files(exported) == []


def test_nothing_tells_where_the_images_were(exported):
    for name in FILES:
        assert b"/home/me" not in (exported / name).read_bytes()


def test_card(exported):
    card = ModelCard.load(exported / "README.md")
    front = card.data
    assert (front.library_name, front.pipeline_tag) == ("timm", "image-feature-extraction")
    assert (front.license, front.datasets) == ("cc-by-nc-4.0", ["ham10000"])
    assert {"dermoscopy", "self-supervised-learning", "resnet10t"} <= set(front.tags)
    assert front.model_name == "resnet10t.dermssl_ham10000"
    figures = {result.metric_name: result.metric_value for result in front.eval_results}
    assert figures["accuracy"] == 0.725
    assert len(front.eval_results) == 2  # main figures only, and the random weights' are not this model's
    for text in (
        "Tschandl P.",
        "50 dermoscopy images",
        "72.5 ± 1.0 [70.0, 75.0]",
        "| `random:resnet10t` | 68.0",
        "always the most frequent class | 66.0 | 50.0",
        "60 images of 40 lesions (mel 20, nv 40)",
        "Not a medical device",
        "skin tones",
        "5 min 0 s",
        "3 lesions have images in both",
        "liu2023dermoscopic",
        'name = "hf-hub:ORG/resnet10t.dermssl_ham10000"',
    ):
        assert text.lower() in card.content.lower()


@pytest.mark.parametrize(("method", "paper"), [("simclr", "Chen et al."), ("byol", "Grill et al."), ("moco", "He")])
def test_a_card_cites_the_method_of_its_weights(run, tmp_path, unverified, method, paper):
    other = edited(run, tmp_path / "run", lambda config: config["config"].update(method=method))
    folder = export(other, tmp_path / "out")
    citation = (folder / "README.md").read_text().split("## Citation")[1]
    assert paper in citation
    assert "Liu" not in citation
    assert paper in json.loads((folder / "config.json").read_text())["pretrained_cfg"]["paper_name"]


def test_the_framing_is_that_of_the_cache_whatever_the_option_said(run, tmp_path, unverified):
    cropped = edited(run, tmp_path / "run", lambda config: config["data"].update(fit="crop"))
    cfg = json.loads((export(cropped, tmp_path / "out") / "config.json").read_text())["pretrained_cfg"]
    assert (cfg["crop_mode"], cfg["crop_pct"], cfg["interpolation"]) == ("center", 1.0, "bilinear")


def test_a_card_says_when_the_training_was_short(exported):
    config = read_export(exported)
    assert "it was shown 144 images at 32 px; the paper's training\n  shows 6,625,200 at 224 px" in card(config, "name")
    config["dermssl"]["resolved"]["steps"] = 13_000  # planned, and not yet made
    assert "it was shown 144 images" in card(config, "name")
    config["dermssl"]["training"]["steps"] = 13_000
    config["dermssl"]["resolved"]["batch_size"] = 512
    assert "small budget" not in card(config, "name")


def test_provenance_names_commands_and_hashes(exported):
    text = (exported / "PROVENANCE.md").read_text()
    assert "dermssl pretrain photos --output runs/resnet10t.dermssl_ham10000 --method rotinstdisc" in text
    assert "dermssl eval-knn runs/resnet10t.dermssl_ham10000 ham --k 10 --split lesion --folds 5" in text
    assert "dermssl eval-knn random:resnet10t ham" in text
    for fact in ("c0ffee", "seed: 0", "a machine", "300.0 s"):
        assert fact in text


@pytest.mark.slow
def test_the_commands_of_the_provenance_are_commands(tmp_path):
    run = write_run(tmp_path / "run", layout="image folder")
    write_report(run / "evaluations" / "a.json", str(run))
    write_report(run / "evaluations" / "b.json", str(run), test="/x/new camera", split="test set", folds=None)
    write_report(run / "evaluations" / "c.json", str(run), evaluation="frozen", k=None, fraction=0.01)
    export(run, tmp_path / "out", license="cc-by-nc-4.0", attribution=["A. Uthor, her photographs"])
    text = (tmp_path / "out" / "PROVENANCE.md").read_text()
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("dermssl ")]
    for _, name, *arguments in commands:
        called = group.get_command(click.Context(group), name)
        called.make_context(name, arguments, help_option_names=["-h", "--help"])  # fails for an unknown option or value
    assert [words[1] for words in commands] == ["pretrain", "eval-knn", "eval-knn", "finetune", "export"]
    assert commands[-1][-4:] == ["--license", "cc-by-nc-4.0", "--attribution", "A. Uthor, her photographs"]


def test_peers_are_trained_before_they_are_evaluated(tmp_path, unverified):
    run, peer = write_run(tmp_path / "run"), write_run(tmp_path / "run-peers" / "moco")
    config = json.loads((peer / "config.json").read_text())
    config["config"] |= {"method": "moco", "seed": 3}
    (peer / "config.json").write_text(json.dumps(config))
    tensors = load_file(peer / "backbone" / "model.safetensors")
    save_file({name: t + 1 for name, t in tensors.items()}, peer / "backbone" / "model.safetensors")
    write_report(run / "evaluations" / "a.json", str(run))
    write_report(run / "evaluations" / "b.json", str(peer))
    write_report(run / "evaluations" / "c.json", str(peer / "backbone"), evaluation="frozen")
    write_report(run / "evaluations" / "d.json", "gone/byol")
    out = tmp_path / "resnet10t.made"
    export(run, out)
    assert "\n- `moco` was trained as this model was, but for method moco, seed 3.\n" in (out / "README.md").read_text()
    commands = [line for line in (out / "PROVENANCE.md").read_text().splitlines() if line.startswith("dermssl ")]
    made, peers, own, *others = [" ".join(line.split()[1:4]) for line in commands[:-1]]
    assert made == peers == "pretrain photos --output"
    assert " --output runs/moco --method moco " in commands[1]
    assert own == "eval-knn runs/resnet10t.made ham"
    assert others == ["eval-knn runs/moco ham", "finetune runs/moco ham", "eval-knn byol ham"]
    assert "/home" not in (out / "config.json").read_text()


def test_runs_that_a_run_started_from_are_told_oldest_first(tmp_path, unverified):
    for name, start in (("small", None), ("middle", tmp_path / "small" / "backbone"), ("last", tmp_path / "middle")):
        run = write_run(tmp_path / name)
        stored = json.loads((run / "config.json").read_text())
        stored["config"]["init"] = start and str(start)
        stored["before"] = earlier_runs(stored["config"]["init"])
        (run / "config.json").write_text(json.dumps(stored))
        if name == "middle":  # an export says the same
            export(run, tmp_path / "exports" / "middle")
            assert earlier_runs(str(tmp_path / "exports" / "middle")) == earlier_runs(str(run))
    out = tmp_path / "resnet10t.made"
    export(tmp_path / "last", out)
    text = (out / "PROVENANCE.md").read_text()
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("dermssl pretrain ")]
    assert [words[words.index("--output") + 1] for words in commands] == [
        "runs/small",
        "runs/middle",
        f"runs/{out.name}",
    ]
    assert "--init" not in commands[0]
    assert [words[words.index("--init") + 1] for words in commands[1:]] == ["runs/small", "runs/middle"]
    card = (out / "README.md").read_text()
    assert "| before: `small` | rotinstdisc, HAM10000, 3 epochs (9 steps of 16) at 32 px, 5 min 0 s |" in card
    assert "| first weights | `middle` |" in card
    assert "it was shown 432 images" in card  # 3 runs, 9 steps of 16
    assert str(tmp_path) not in (out / "config.json").read_text()


@pytest.mark.parametrize(
    ("first", "second", "asked", "carried"),
    [
        ("ham10000", "image folder", None, "cc-by-nc-4.0"),
        ("image folder", "synthetic", None, "apache-2.0"),
        ("image folder", "image folder", "mit", "mit"),
        ("ham10000", "synthetic", "cc-by-nc-4.0", "cc-by-nc-4.0"),
        (
            "ham10000",
            "image folder",
            "mit",
            "--license mit: the weights come from HAM10000, whose licence cc-by-nc",
        ),
        ("ham10000", "synthetic", None, "say which licence they carry with --license"),
    ],
)
def test_the_licence_of_a_run_before_is_carried_on(tmp_path, unverified, first, second, asked, carried):
    write_run(tmp_path / "first", layout=first)
    run = write_run(tmp_path / "second", layout=second)
    stored = json.loads((run / "config.json").read_text())
    stored["before"] = earlier_runs(str(tmp_path / "first"))
    (run / "config.json").write_text(json.dumps(stored))
    if "--license" in carried:
        with pytest.raises(DermsslError, match=carried):
            export(run, tmp_path / "out", license=asked)
        return
    export(run, tmp_path / "out", license=asked, attribution=["A. Uthor"])
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"\nlicense: {carried}\n" in card
    assert ("- Tschandl P." in card) == (first == "ham10000")
    assert ("- A. Uthor" in card) == (second == "image folder")


@pytest.mark.parametrize(
    ("init", "layout", "asked", "carried"),
    [
        ("timm:convnextv2_atto.fcmae", "image folder", None, "cc-by-nc-4.0"),
        (
            "timm:convnextv2_atto.fcmae",
            "image folder",
            "mit",
            "come from timm:convnextv2_atto.fcmae, whose",
        ),
        ("timm:convnextv2_atto.fcmae", "ham10000", None, "cc-by-nc-4.0"),
        ("timm:resnet10t.c3_in1k", "image folder", "mit", "mit"),
        ("timm:resnet10t.c3_in1k", "ham10000", None, "cc-by-nc-4.0"),
    ],
)
def test_the_licence_of_weights_by_timm_is_carried_on(tmp_path, unverified, init, layout, asked, carried):
    run = write_run(tmp_path / "run", layout=layout)
    stored = json.loads((run / "config.json").read_text())
    stored["config"]["init"] = init
    (run / "config.json").write_text(json.dumps(stored))
    if "come from" in carried:
        with pytest.raises(DermsslError, match=carried):
            export(run, tmp_path / "out", license=asked)
        return
    export(run, tmp_path / "out", license=asked)
    assert f"\nlicense: {carried}\n" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("weights", ["timm:resnet10t.c3_in1k", "hf-hub:org/name@main"])
def test_weights_that_are_no_path_are_told_whole(tmp_path, unverified, monkeypatch, weights):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    run = write_run(tmp_path / "run")
    stored = json.loads((run / "config.json").read_text())
    stored["config"]["init"], stored["before"] = weights, earlier_runs(weights)
    (run / "config.json").write_text(json.dumps(stored))
    export(run, tmp_path / "out")
    assert f" --init {weights} " in (tmp_path / "out" / "PROVENANCE.md").read_text()
    assert f"| first weights | `{weights}` |" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_every_backbone_is_loaded_by_timm_equal_to_the_bit(tmp_path):
    for name in BACKBONES:
        model = create_backbone(name, image_size=64)
        save_backbone(
            model, tmp_path / name, mean=(0.7, 0.5, 0.4), std=(0.1, 0.2, 0.3), image_size=64, provenance={"note": 1}
        )
    verdicts = verify([tmp_path / name for name in BACKBONES])
    assert [verdict.problems for verdict in verdicts] == [()] * len(BACKBONES)
    assert all(verdict.tensors > 50 and verdict.features_only for verdict in verdicts)
    shutil.rmtree(tmp_path / "vgg11_bn")  # half a gigabyte


@pytest.mark.slow
def test_the_check_by_timm_finds_what_is_wrong(exported, tmp_path):
    """What timm only logs, or does not notice: another mean, a classifier in another place, prefixed names."""
    mean, classifier, prefix = (shutil.copytree(exported, tmp_path / name) for name in ("mean", "classifier", "prefix"))
    config = json.loads((exported / "config.json").read_text())

    def change(folder, **values):
        (folder / "config.json").write_text(
            json.dumps({**config, "pretrained_cfg": {**config["pretrained_cfg"], **values}})
        )

    change(mean, mean=[0.5, 0.5, 0.5])
    (verdict,) = verify([mean], models=[f"local-dir:{exported}"])
    assert "timm's data configuration has mean [0.7, 0.5, 0.4], not [0.5, 0.5, 0.5]" in " ".join(verdict.problems)
    change(classifier, classifier="layer4")
    with pytest.raises(DermsslError, match=r"classifier: 66 of 84 tensors fit resnet10t, 18 are missing \(layer4"):
        verify([classifier])
    tensors = load_file(exported / "model.safetensors")
    save_file({f"encoder.{name}": t for name, t in tensors.items()}, prefix / "model.safetensors")
    with pytest.raises(DermsslError, match=r"prefix: 0 of 84 tensors fit resnet10t.*without their prefix 'encoder\.'"):
        verify([prefix])


def test_export_again_replaces_an_export_only(run, exported, tmp_path, unverified):
    folder = shutil.copytree(exported, tmp_path / "again")
    (folder / "README.md").write_text("old")
    assert export(run, folder) == folder
    assert (folder / "README.md").read_text().startswith("---\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(DermsslError, match="holds something that is not an export"):
        export(run, other)
    assert [file.name for file in other.iterdir()] == ["thesis.txt"]
    with pytest.raises(DermsslError, match="is a file"):
        export(run, other / "thesis.txt")


def test_drafts_of_killed_exports_are_removed(run, tmp_path, unverified):
    out = tmp_path / "out"
    dead, alive = (out / f"{drafts.named(exporting._DRAFTS)}{process}-abc" for process in (2**22 + 1, os.getpid()))
    for draft in (dead, alive):
        draft.mkdir(parents=True)
    export(run, out)
    assert not dead.exists()
    assert alive.exists()


def test_few_labels_stand_in_one_table(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    for share, accuracy in ((0.1, 0.71), (0.01, 0.65)):
        for name, weights in (("own", str(copy)), ("random", "random:resnet10t")):
            # the folds' sizes and the recipe's steps follow from the share
            settings = {"evaluation": "frozen", "k": None, "fraction": share, "train_images": [int(60 * share)]}
            file = copy / "evaluations" / "few" / f"{name}-{share}.json"
            write_report(file, weights, accuracy - (name == "random") / 10, **settings)
    write_report(copy / "evaluations" / "all.json", str(copy), 0.75, evaluation="frozen", k=None, fraction=1.0)
    card = ModelCard.load(export(copy, tmp_path / "out") / "README.md")
    table = card.text.split("frozen features, few labels: HAM10000")[1].split("\n\n")[2].splitlines()
    assert table[0] == (
        "| labels | **this model**: accuracy | **this model**: balanced accuracy "
        "| `random:resnet10t`: accuracy | `random:resnet10t`: balanced accuracy |"
    )
    assert [line[:14] for line in table[2:]] == ["| 1 % | 65.0 ±", "| 10 % | 71.0 "]
    assert "| 55.0 ± 1.0 [70.0, 75.0] |" in table[2]
    assert "fraction" not in card.text.split("few labels: HAM10000")[1].split("\n\n")[1]
    results = card.data.eval_results
    assert {r.dataset_config: r.metric_value for r in results if r.metric_type == "accuracy"} == {
        "knn, k = 10, 5 folds grouped by lesion": 0.725,
        "frozen, 5 folds grouped by lesion": 0.75,
    }  # not those with few labels


def test_a_test_set_is_named(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    write_report(copy / "evaluations" / "a camera.json", str(copy), test="/home/me/new camera")
    text = (export(copy, tmp_path / "out") / "README.md").read_text()
    titles = [line.removeprefix("### Nearest neighbours, ") for line in text.splitlines() if line.startswith("### ")]
    assert titles == ["features as they are: HAM10000", "features as they are: HAM10000, tested on new camera"]


def test_always_the_commonest_class_counts_the_classes_tested(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    file = write_report(copy / "evaluations" / "a camera.json", str(copy), test="/home/me/new camera")
    report = json.loads(file.read_text())
    report["records"]["train"]["classes"] = {"akiec": 0, "bcc": 0, "mel": 10, "nv": 50}
    file.write_text(json.dumps(report))
    text = (export(copy, tmp_path / "out") / "README.md").read_text()
    assert text.rpartition("| always the most frequent class | 66.0 | ")[2].startswith("50.0 |")  # of two, not of four


def test_pictures_go_along(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    picture = copy / "evaluations" / "features-in-the-plane.svg"
    picture.write_text("<svg/>")
    folder = export(copy, tmp_path / "out")
    assert "## Figures\n\n![features in the plane](features-in-the-plane.svg)\n" in (folder / "README.md").read_text()
    assert (folder / picture.name).read_text() == "<svg/>"
    (copy / "evaluations" / "mean activation (1).png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "![mean activation (1)](mean%20activation%20%281%29.png)" in (export(copy, folder) / "README.md").read_text()
    (copy / "evaluations" / "mean activation (1).png").unlink()
    export(copy, folder)
    assert checking._files(folder) == []
    (folder / picture.name).unlink()
    assert checking._files(folder) == [f"{picture.name} is missing"]
    picture.unlink()
    (copy / "evaluations" / "other.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    export(copy, folder)
    assert sorted(file.name for file in folder.iterdir()) == sorted([*FILES, "other.png"])  # none of the earlier


def test_what_others_wrote_is_shown_and_not_run(run, tmp_path, unverified):
    own = edited(
        run, tmp_path / "run", lambda config: config["data"].update(layout="image folder", source="/x/<b>\x1b[2J")
    )
    text = (export(own, tmp_path / "out", description="<script>alert(1)</script>") / "README.md").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text


def test_links_and_false_pictures_are_not_carried_out(run, exported, tmp_path, unverified, caplog):
    copy = shutil.copytree(run, tmp_path / "run")
    (tmp_path / "id_rsa").write_text("PRIVATE KEY")
    (copy / "evaluations" / "roc.png").symlink_to(tmp_path / "id_rsa")
    (copy / "evaluations" / "key.svg").write_text("PRIVATE KEY")
    os.mkfifo(copy / "evaluations" / "pipe.png")
    folder = export(copy, tmp_path / "out")
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    assert caplog.text.count("is left out") == 3
    again = shutil.copytree(exported, tmp_path / "again")
    results = json.loads((again / "results.json").read_text())
    (again / "results.json").write_text(json.dumps({**results, "figures": ["roc.png"]}))
    (again / "roc.png").symlink_to(tmp_path / "id_rsa")
    with pytest.raises(DermsslError, match=r"roc\.png is a link"):
        push(again, "me/it", dry_run=True)


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "backbone", "backbone/config.json", "backbone/model.safetensors"]
)
def test_what_a_link_leads_to_outside_of_a_run_is_not_handed_on(run, tmp_path, unverified, name):
    private = shutil.copytree(run, tmp_path / "private")
    copy = shutil.copytree(run, tmp_path / "run")
    link = copy / name
    link.rename(tmp_path / "away")
    link.symlink_to(private / name)
    for read in (lambda: export(copy, tmp_path / "out"), lambda: describe(str(copy))):
        with pytest.raises(DermsslError, match="a link that leads out of"):
            read()
    assert not (tmp_path / "out").exists()
    link.unlink()
    (tmp_path / "away").rename(copy / "inside")
    link.symlink_to(copy / "inside")
    assert describe(str(copy)) | {"weights": ""} == describe(str(private)) | {"weights": ""}


def test_a_figure_is_no_way_to_other_files(run, exported, tmp_path, unverified):
    folder = shutil.copytree(exported, tmp_path / "again")
    (tmp_path / "mine.png").write_text("mine")
    results = json.loads((folder / "results.json").read_text())
    for name in ("../mine.png", str(tmp_path / "mine.png"), "a\n.png", "..\\mine.png", "token.txt", "", 3):
        (folder / "results.json").write_text(json.dumps({**results, "figures": [name]}))
        assert "must be a picture beside it" in str(checking._files(folder))
        with pytest.raises(DermsslError, match="must be a picture beside it"):
            push(folder, "me/it", dry_run=True)
        with pytest.raises(DermsslError, match="not an export"):
            export(run, folder)
    assert (tmp_path / "mine.png").exists()


def test_a_failed_check_writes_nothing(run, tmp_path, monkeypatch):
    def refuse(*_):
        raise DermsslError("no")

    monkeypatch.setattr(exporting, "_verify", refuse)
    with pytest.raises(DermsslError, match="no"):
        export(run, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_run_is_refused(run, exported, tmp_path, unverified):
    with pytest.raises(DermsslError, match="it is an export already"):
        export(exported, tmp_path / "new")
    with pytest.raises(DermsslError, match="it holds no backbone"):
        export(tmp_path, tmp_path / "new")
    fitted = tmp_path / "fitted"
    timm.models.save_for_hf(timm.create_model("test_resnet", num_classes=2), fitted, safe_serialization=True)
    with pytest.raises(DermsslError, match="it holds weights, and not how they were pretrained"):
        export(fitted, tmp_path / "new")
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "config.json").write_text("[")
    with pytest.raises(DermsslError, match="give a run directory"):
        export(broken, tmp_path / "new")


def test_weights_that_are_not_finite_are_refused(run, tmp_path, unverified):
    broken = shutil.copytree(run, tmp_path / "nan")
    tensors = load_file(broken / "backbone" / "model.safetensors")
    tensors["layer1.0.bn1.weight"][3] = float("nan")
    save_file(tensors, broken / "backbone" / "model.safetensors")
    with pytest.raises(DermsslError, match=r"1 tensors hold NaN or infinity \(layer1.0.bn1.weight"):
        export(broken, tmp_path / "new")


def edited(run, folder, change):
    shutil.copytree(run, folder)
    config = json.loads((run / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_licence_follows_the_images(run, tmp_path, unverified, caplog):
    with pytest.raises(DermsslError, match=r"whose licence cc-by-nc-4\.0 they carry too"):
        export(run, tmp_path / "freer", license="mit")
    own = edited(
        run,
        tmp_path / "own",
        lambda config: config["data"].update(layout="image folder", source="/x/Our -- photos (2)"),
    )
    export(own, tmp_path / "unknown")
    assert "the licence of the images is not known" in caplog.text
    card = ModelCard.load(tmp_path / "unknown" / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "unspecified")
    assert card.data.datasets == ["Our-photos-2"]
    assert "**Not specified.**" in card.text
    export(own, tmp_path / "named", license="cc-by-4.0", attribution=["Our clinic"])
    card = ModelCard.load(tmp_path / "named" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert "- Our clinic" in card.text
    assert "`cc-by-4.0`. Name the sources" in card.text  # nobody said that the images have it


def test_the_card_counts_the_images_that_were_used(run, tmp_path, unverified):
    limited = edited(run, tmp_path / "limited", lambda config: config["data"].update(images=4000))
    text = (export(limited, tmp_path / "new") / "README.md").read_text()
    assert "without labels on 50 dermoscopy images (HAM10000)" in text
    assert "| images in the set | 4,000 |" in text


def test_names_that_the_hub_refuses_are_found(exported):
    text = (exported / "README.md").read_text()
    assert check_card(text) == []
    (problem,) = check_card(text.replace("datasets:\n- ham10000", "datasets:\n- my photos"))
    assert "data set 'my photos': Repo id must use alphanumeric" in problem


def test_a_report_of_another_run_of_the_same_name_is_not_its_own(run, tmp_path, unverified):
    """All runs of a comparison may be called `run`, each in a folder of its method."""
    mine, other = shutil.copytree(run, tmp_path / "mine" / "run"), shutil.copytree(run, tmp_path / "other" / "run")
    shutil.rmtree(mine / "evaluations")
    (other / "backbone" / "model.safetensors").write_bytes(b"of another method")
    write_report(mine / "evaluations" / "other.json", str(other / "backbone"), 0.9)
    text = (export(mine, tmp_path / "new") / "README.md").read_text()
    assert "No evaluation was recorded" in text
    write_report(mine / "evaluations" / "moved.json", "/was/here/run", 0.8)
    text = (export(mine, tmp_path / "new") / "README.md").read_text()
    assert "| **this model** | 80.0" in text
    assert "| `run` | 90.0" in text


def test_reports_are_told_apart_wherever_the_export_is_called(run, tmp_path, unverified, monkeypatch, caplog):
    """Reports spell weights relative to the folder where they were made; names come again, time stamps have colons."""
    mine = shutil.copytree(run, tmp_path / "seed0" / "12:30")
    shutil.rmtree(mine / "evaluations")
    write_report(mine / "evaluations" / "a.json", "seed0/12:30", 0.6)
    write_report(mine / "evaluations" / "b.json", "other/byol", 0.7)
    monkeypatch.chdir(mine)
    text = (export(".", tmp_path / "new") / "README.md").read_text()
    assert "| **this model** | 60.0" in text
    assert "| `byol` | 70.0" in text
    assert text.count("| **this model** |") == 1

    write_report(mine / "evaluations" / "c.json", "seed1/12:30", 0.8)
    monkeypatch.chdir(tmp_path)
    text = (export(mine, tmp_path / "new") / "README.md").read_text()
    assert "| **this model** | 60.0" in text  # it is there, so seed1 is another
    assert "| `12:30` | 80.0" in text
    write_report(mine / "evaluations" / "d.json", "seed2/12:30", 0.9)
    text = (export(mine, tmp_path / "new") / "README.md").read_text()
    assert "| `seed1/12:30` | 80.0" in text
    assert "| `seed2/12:30` | 90.0" in text
    assert str(tmp_path) not in (tmp_path / "new" / "config.json").read_text()

    monkeypatch.chdir(mine)
    text = (export(".", tmp_path / "new") / "README.md").read_text()
    assert "No evaluation was recorded" in text
    assert "which of seed0/12:30, seed1/12:30, seed2/12:30 is this run cannot be told" in caplog.text


def test_an_export_into_the_current_folder_has_its_name(run, tmp_path, unverified, monkeypatch):
    (tmp_path / "my weights").mkdir()
    monkeypatch.chdir(tmp_path / "my weights")
    export(run, ".")
    assert "\n# my weights\n" in Path("README.md").read_text()
    assert " --output 'runs/my weights' " in Path("PROVENANCE.md").read_text()


def test_an_export_stays_inside_a_folder_that_is_there(run, tmp_path, monkeypatch):
    """It may be a mounted file system, into which nothing can be renamed from beside it."""
    folder = tmp_path / "locked" / "mounted"
    folder.mkdir(parents=True)
    (folder / ".dermssl-export-of-a-killed-one").mkdir()
    drafts = []
    monkeypatch.setattr(exporting, "_verify", lambda draft, _: drafts.append(draft))
    export(run, folder)
    assert [draft.parent for draft in drafts] == [folder]
    assert [path.name for path in (tmp_path / "locked").iterdir()] == ["mounted"]


def test_drawings_are_not_called_ham10000(run, tmp_path, unverified):
    own = edited(run, tmp_path / "own", lambda config: config["data"].update(layout="synthetic"))
    export(own, tmp_path / "new")
    card = ModelCard.load(tmp_path / "new" / "README.md")
    assert card.data.license == "apache-2.0"
    assert "drawn by dermssl, no photographs" in card.text


def test_a_card_from_little_is_honest(run, tmp_path, unverified):
    """A run of another version, stopped early, never evaluated."""
    bare = shutil.copytree(run, tmp_path / "bare")
    (bare / "config.json").write_text("{}")
    (bare / "metrics.jsonl").unlink()
    shutil.rmtree(bare / "evaluations")
    text = (export(bare, tmp_path / "new") / "README.md").read_text()
    for statement in ("The training was not finished", "No evaluation was recorded", "**Not specified.**"):
        assert statement in text
    assert "None" not in text


def test_reports_that_do_not_belong_are_left_out(run, tmp_path, unverified, caplog):
    copy = shutil.copytree(run, tmp_path / run.name)
    (copy / "evaluations" / "broken.json").write_text("{")
    (copy / "evaluations" / "other.json").write_text('{"a": 1}')
    os.utime(copy / "evaluations" / "knn.json", (1, 1))
    text = (export(copy, tmp_path / "new") / "README.md").read_text()
    assert "No evaluation was recorded" in text
    assert caplog.text.count("not a report of an evaluation") == 2
    assert "it is older than the weights" in caplog.text


def test_command(run, tmp_path, unverified):
    result = CliRunner().invoke(command, [str(run), str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert "dermssl push" in result.output
    assert (tmp_path / "new" / "README.md").exists()


def test_command_for_machines(run, tmp_path, unverified):
    about = ["--description", "all 50 images, their middle squares", "--license", "cc-by-nc-4.0", "--json"]
    result = CliRunner().invoke(command, [str(run), str(tmp_path / "new"), *about])
    told = json.loads(result.stdout)
    assert told == {"folder": str(tmp_path / "new"), "model": f"local-dir:{tmp_path / 'new'}"}
    assert "\n| what it is | all 50 images, their middle squares |\n" in (tmp_path / "new" / "README.md").read_text()
    assert "--description 'all 50 images, their middle squares'" in (tmp_path / "new" / "PROVENANCE.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "PROVENANCE.md"])
def test_check_names_a_page_that_is_no_text(exported, tmp_path, capsys, name):
    folder = shutil.copytree(exported, tmp_path / "models" / "odd")
    (folder / name).write_bytes(b"\xff\xfe\x00")
    assert checking.main([str(tmp_path / "models")]) == 1
    output = capsys.readouterr().out
    assert f"{name} is damaged" in output
    assert "not text in UTF-8" in output


def test_check_of_a_folder_of_models(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checking, "verify", lambda folders: [verify_stub() for _ in folders])

    def verify_stub():
        return type("Verdict", (), {"problems": ()})

    assert checking.main([str(tmp_path)]) == 0
    assert "no weights there" in capsys.readouterr().out
    good = shutil.copytree(exported, tmp_path / "good")
    assert checking.main([str(tmp_path)]) == 0
    assert f"{good}: ok" in capsys.readouterr().out
    bad = shutil.copytree(exported, tmp_path / "bad")
    (bad / "PROVENANCE.md").write_text("sha256 `" + "0" * 64 + "`")
    (bad / "README.md").write_text((bad / "README.md").read_text().replace("cc-by-nc-4.0", "mit"))
    worse = shutil.copytree(exported, tmp_path / "worse")
    (worse / "pytorch_model.bin").touch()
    (worse / "config.json").unlink()
    assert checking.main([str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "their SHA-256 differs" in output
    assert "different licences" in output
    assert "config.json is missing; pytorch_model.bin may hold a pickle" in output


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("results", lambda record: record["results"][0]["data"].pop("train_folder")),
        ("results", lambda record: record["results"][0]["data"].update(classes={"nv": "../../etc"})),
        ("results", lambda record: record.update(format=2)),
        ("results", lambda record: record.update(id="of others")),
        ("config", lambda config: config["dermssl"]["settings"].update(momentum_schedule="\ud800")),
        ("config", lambda config: config["dermssl"].update(settings=[])),
        ("config", lambda config: config.pop("pretrained_cfg")),
    ],
)
def test_a_damaged_record_is_one_error_and_writes_no_page(tmp_path, exported, file, damage):
    folder = shutil.copytree(exported, tmp_path / "export")
    (folder / "README.md").unlink()
    content = json.loads((folder / f"{file}.json").read_text())
    damage(content)
    (folder / f"{file}.json").write_text(json.dumps(content))
    with pytest.raises(DermsslError, match=rf"{file}\.json .*(export the run again|newer dermssl)"):
        exporting.write_pages(folder, "x")
    assert not (folder / "README.md").exists()
