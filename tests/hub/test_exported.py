"""The files of an export: what is where, what is refused, what others wrote, and what a kill leaves."""

import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import timm
from click.testing import CliRunner
from hub_fixtures import write_report, write_run
from huggingface_hub import ModelCard

from dermssl.backbones.load import load_backbone
from dermssl.backbones.save import save_backbone
from dermssl.cli.info import command as info
from dermssl.errors import DermsslError
from dermssl.hub import check as checking
from dermssl.hub import drafts
from dermssl.hub import export as exporting
from dermssl.hub import push as pushing
from dermssl.hub.card import card
from dermssl.hub.carried import picture_fault
from dermssl.hub.divide import divide_export, main
from dermssl.hub.export import export
from dermssl.hub.exported import FILES, MOST_CONFIG_BYTES, divide, read_export
from dermssl.hub.info import describe
from dermssl.hub.provenance import provenance
from dermssl.hub.push import push
from dermssl.hub.record import read_run
from dermssl.pretraining.record import earlier_runs

PUBLISHED = Path(__file__).parents[2] / "hub"
EARLIER = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "exported"
PNG = b"\x89PNG\r\n\x1a\n"
EVIL = "<img src=x onerror=alert(1)> [a](http://evil) `x | *b* \n# h\n---\n```\n: {y}"


@pytest.fixture
def unverified(monkeypatch):
    """Skip the fresh process, for tests of something else."""
    monkeypatch.setattr(exporting, "_verify", lambda *_: None)


def as_by_0_1_0(folder: Path) -> dict:
    """Put the results back into config.json, as that version wrote them; what the export says."""
    config = read_export(folder)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "results.json").unlink()
    return config


# what is where


def test_config_is_small_and_the_results_are_elsewhere(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    for number in range(60):
        write_report(copy / "evaluations" / f"{number}.json", str(copy), k=number + 1)
    stored = json.loads((copy / "config.json").read_text())
    stored["before"] = [{**before, "name": str(n)} for n, before in enumerate(earlier_runs(str(run)) * 9)]
    (copy / "config.json").write_text(json.dumps(stored))
    folder = export(copy, tmp_path / "out")
    config, results = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "results"))
    assert (folder / "config.json").stat().st_size < MOST_CONFIG_BYTES
    assert len(results["results"]) == 62
    assert len(results["before"]) == 9
    assert not config["dermssl"].keys() & {"results", "peers", "before", "figures"}
    assert config["dermssl"]["id"] == results["id"]
    assert [run["name"] for run in earlier_runs(str(folder))] == [*map(str, range(9)), "out"]
    with pytest.raises(DermsslError, match=r"config\.json would have .* bytes.*shorten --description"):
        export(copy, tmp_path / "long", description="word " * 2000)
    assert not (tmp_path / "long").exists()


def test_the_index_of_a_card_holds_the_main_figures(run, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    for number in range(30):
        write_report(copy / "evaluations" / f"{number}.json", str(copy), test=f"camera {number}")
    write_report(copy / "evaluations" / "tuned.json", str(copy), evaluation="finetune", k=None, epochs=3)
    text = (export(copy, tmp_path / "out") / "README.md").read_text()
    assert [result.metric_value for result in ModelCard(text).data.eval_results] == [0.725, 0.5]
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert len(front.splitlines()) < 40
    use, table = body.index("timm.create_model("), body.index("\n| ")
    assert use < body.index("## Intended use") < table
    code = body.split("```python\n")[1].splitlines()
    assert code[0] == "import timm"
    assert code[2].startswith('model = timm.create_model("hf-hub:ORG/out", pretrained=True')


@pytest.mark.parametrize("name", ["results.json", "config.json"])
def test_files_of_two_exports_are_noticed(run, exported, tmp_path, unverified, name):
    """A kill between two renames: the weights of one export beside another's files."""
    other = shutil.copytree(run, tmp_path / "run")
    write_run(other, layout="synthetic")
    model = load_backbone(run)
    next(model.parameters()).data += 1
    save_backbone(model, other / "backbone", mean=(0.7,) * 3, std=(0.2,) * 3, image_size=32, provenance={})
    mixed = export(other, tmp_path / "mixed")
    shutil.copy(exported / name, mixed / name)
    assert "export" in " ".join(checking._files(mixed))
    with pytest.raises(DermsslError, match=r"of other weights|not of the same weights"):
        describe(str(mixed))
    with pytest.raises(DermsslError, match="of other weights"):
        push(mixed, "me/it", dry_run=True)
    export(other, mixed)  # the same command again makes it good
    assert checking._files(mixed) == []


# 0.1.0


@pytest.mark.parametrize("name", ["resnet18.dermssl_ham10000_isic", "tf_efficientnet_lite0.dermssl_ham10000_isic"])
def test_published_folders_are_small_and_whole(name):
    folder = PUBLISHED / name
    assert (folder / "config.json").stat().st_size < MOST_CONFIG_BYTES
    assert sum(file.stat().st_size for file in PUBLISHED.rglob("*") if file.is_file()) < 60e6
    config = read_export(folder)
    assert card(config, name) == (folder / "README.md").read_text()
    front = (folder / "README.md").read_text().split("\n---\n")[0]
    assert len(front.splitlines()) < 90
    headings = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings))
    results = config["dermssl"]["results"]
    assert len(results) == {"resnet18": 82, "tf_efficientnet_lite0": 37}[config["architecture"]]
    knn = next(r for r in results if r["own"] and r["evaluation"] == "knn" and r["data"]["images"] == 10015)
    assert knn["metrics"]["accuracy"] > 0.73


def test_an_export_of_0_1_0_is_read_divided_and_loses_nothing(run, exported, tmp_path, unverified, capsys):
    folder = shutil.copytree(exported, tmp_path / exported.name)
    whole, weights = as_by_0_1_0(folder), (folder / "model.safetensors").read_bytes()
    assert read_export(folder) == whole == read_export(exported)
    assert describe(str(folder))["record"] == describe(str(exported))["record"]
    assert "divide it with `python -m dermssl.hub.divide`" in " ".join(checking._files(folder))
    assert main([str(folder)]) == 0
    assert "divided" in capsys.readouterr().out
    assert read_export(folder) == whole
    assert {name: (folder / name).read_bytes() for name in FILES} == {n: (exported / n).read_bytes() for n in FILES}
    assert (folder / "model.safetensors").read_bytes() == weights
    assert not divide_export(folder)
    as_by_0_1_0(folder)
    export(run, folder)  # and an export in its place does the same
    assert {name: (folder / name).read_bytes() for name in FILES} == {n: (exported / n).read_bytes() for n in FILES}
    assert main([str(tmp_path)]) == 1


def test_the_fixture_of_0_1_0_is_divided(tmp_path):
    folder = shutil.copytree(EARLIER, tmp_path / "old")
    before = read_export(folder)
    assert divide_export(folder)
    assert read_export(folder) == before
    assert load_backbone(folder).state_dict().keys() == load_backbone(EARLIER).state_dict().keys()


def test_an_export_of_0_1_0_is_pushed_divided(exported, tmp_path, monkeypatch):
    folder = shutil.copytree(exported, tmp_path / "old")
    as_by_0_1_0(folder)
    verdict = type("Verdict", (), {"problems": ()})
    monkeypatch.setattr(pushing, "verify", lambda folders, **_: [verdict for _ in folders])
    assert push(folder, "me/it", dry_run=True).files.keys() == set(FILES)
    assert not (folder / "results.json").exists()


# what others wrote


def hostile(value, path=()):
    """The record with every text replaced, but for those that decide what is written."""
    if isinstance(value, str):
        return value if path[-1] in ("weights", "evaluation", "layout", "method", "split") else EVIL
    if isinstance(value, dict):
        return {key: hostile(item, (*path, key)) for key, item in value.items()}
    return [hostile(item, (*path, "")) for item in value] if isinstance(value, list) else value


def test_pages_show_what_others_wrote_and_obey_nothing(exported):
    config = read_export(exported)
    record = hostile(config["dermssl"]) | {
        "figures": [],
        "license": "mit",
        "peers": {EVIL: {"folder": EVIL, "settings": {EVIL: EVIL}}},
    }
    record["results"][1] |= {"weights": EVIL, "evaluation": EVIL}
    text = card({**config, "dermssl": record}, f"org/{EVIL}")
    body = text.removeprefix("---\n").partition("\n---\n")[2]
    assert ModelCard(text).data.to_dict()["library_name"] == "timm"
    assert ModelCard(text).data.license == "mit"
    outside = re.sub(r"(?ms)^(```+)\w*$.*?^\1$", "", body)  # what is in blocks of code is shown as it is
    outside = re.sub(r"`[^`\n]+`", "", outside)
    assert "<img" not in outside
    assert not re.search(r"(?<!\\)\[a", outside)
    assert not re.search(r"(?<!\\)\*b(?<!\\)\*", outside)
    assert not re.search(r"^# h", outside, re.MULTILINE)
    program = re.search(r"(?ms)^```+python$(.*?)^```+$", body)[1]
    compile(program, "card", "exec")
    rows = [line for line in outside.splitlines() if line.startswith("| **this model**")]
    assert rows
    made = provenance({**config, "dermssl": record}, "0" * 64, EVIL)
    head = made.split("Commands, with")[0]
    assert "<img" not in re.sub(r"`[^`\n]+`", "", head)


# what may go along


def test_nothing_of_the_machine_is_in_an_export(tmp_path, unverified):
    private = tmp_path / "private"
    run = write_run(private / "r10", layout="image folder", source=str(private / "photos"))
    stored = json.loads((run / "config.json").read_text())
    stored["config"] |= {"eval_data": str(private / "labelled"), "init": str(private / "start"), "track": None}
    (run / "config.json").write_text(json.dumps(stored))
    file = write_report(run / "evaluations" / "a.json", str(run), test=str(private / "cameras" / "one"))
    report = json.loads(file.read_text())
    report["notes"] = [f"--join: 3 pairs of {private}/pairs.csv joined 2 groups", r"C:\Users\me\x.csv is missing"]
    report["data"] = str(private / "ham")
    file.write_text(json.dumps(report))
    write_report(run / "evaluations" / "b.json", str(private / "other" / "r11"))
    folder = export(run, tmp_path / "out", license="mit", description=f"what was in {private}/photos")
    secrets = {str(tmp_path), "/home/me", "Users", str(Path.home()) if str(Path.home()) != "/" else "/home/me"}
    secrets |= {platform.node()} if len(platform.node()) > 3 else set()
    for file in folder.iterdir():
        content = file.read_bytes()
        found = [secret for secret in secrets if secret.encode() in content and secret != "/root"]
        assert not found, (file.name, found)
        assert not re.search(rb"index-url|\bregistry\b|artifactory|nexus", content)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)


def test_links_are_not_followed_out_of_the_evaluations(run, tmp_path, unverified, caplog):
    private = tmp_path / "private"
    for name in ("a.json", "below/b.json"):
        write_report(private / name, str(run), 0.99)
    (private / "p.png").write_bytes(PNG)
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "evaluations" / "link.json").symlink_to(private / "a.json")
    (copy / "evaluations" / "folder").symlink_to(private)
    (copy / "evaluations" / "loop").symlink_to(copy / "evaluations")
    (copy / "evaluations" / "circle.json").symlink_to("circle.json")
    (copy / "evaluations" / "p.png").symlink_to(private / "p.png")
    (copy / "evaluations" / "a\nb.png").write_bytes(PNG)
    os.mkfifo(copy / "evaluations" / "pipe.json")
    os.link(private / "a.json", copy / "evaluations" / "hard.png")  # no picture, whatever its name
    record = read_run(copy)
    assert record["figures"] == []
    assert {result["metrics"]["accuracy"] for result in record["results"]} == {0.725, 0.68}
    assert caplog.text.count("is left out") == 8
    shutil.rmtree(copy / "evaluations")
    (copy / "evaluations").symlink_to(private)
    assert read_run(copy)["results"] == []


def test_a_folder_of_evaluations_that_may_not_be_read_is_said(run, monkeypatch, caplog):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("evaluations"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert read_run(run)["results"] == []
    assert "evaluations is left out: Permission denied" in caplog.text


def test_a_report_names_no_way_to_the_settings_of_others(run, tmp_path, unverified):
    """What lies where a report points is no option of a training: it is not carried out."""
    other = write_run(tmp_path / "other")
    stored = json.loads((other / "config.json").read_text())
    stored["config"] |= {"password": "swordfish"}
    (other / "config.json").write_text(json.dumps(stored))
    model = load_backbone(run)
    next(model.parameters()).data += 1
    save_backbone(model, other / "backbone", mean=(0.7,) * 3, std=(0.2,) * 3, image_size=32, provenance={})
    copy = shutil.copytree(run, tmp_path / "run")
    write_report(copy / "evaluations" / "other.json", str(other))
    for spelling in ("a\x07b", "x" * 5000, str(tmp_path / "loop" / "x"), "../../etc"):
        write_report(copy / "evaluations" / f"{len(spelling)}.json", spelling)
    (tmp_path / "loop").symlink_to("loop")
    record = read_run(copy)
    assert "swordfish" not in json.dumps(record)
    assert record["peers"]["other"]["settings"]["method"] == "rotinstdisc"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"<svg/>", None),
        (b'<?xml version="1.0"?><!-- one = 1 --><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>', None),
        (b'<svg xmlns:x="y"><use x:href="#a"/></svg>', None),
        (b"<svg><script>alert(1)</script></svg>", "holds a program"),
        (b'<svg onload="alert(1)"/>', "holds a program"),
        (b'<svg><image href="file:///etc/passwd"/></svg>', "refers to another file"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', "declares entities"),
        (b"<html><svg/></html>", "is no SVG"),
        (b"<svg", "is no SVG"),
        (b"", "is no SVG"),
    ],
)
def test_a_drawing_is_a_drawing_and_nothing_else(tmp_path, content, fault):
    (tmp_path / "a.svg").write_bytes(content)
    found = picture_fault(tmp_path / "a.svg")
    assert found is None if fault is None else fault in found


# what a kill leaves


def test_drafts_of_killed_processes_go_and_nothing_else(tmp_path):
    start, dead = drafts.named("x-"), 2**22 + 1
    held = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from dermssl.locks import locked\n"
            "with locked(Path(sys.argv[1])): print('', flush=True); sys.stdin.read()",
            str(tmp_path / "lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert held.stdout.readline()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    gone, locked_, alive, link, file, strange = (
        tmp_path / f"{start}{end}"
        for end in (f"{dead}-a", f"{dead}-b", f"{os.getpid()}-c", f"{dead}-d", f"{dead}-e", "f")
    )
    for folder in (gone, locked_, alive, strange):
        folder.mkdir()
    (gone / "inside").symlink_to(mine)
    os.link(tmp_path / "lock", locked_ / ".lock")
    link.symlink_to(mine)
    file.touch()
    elsewhere = tmp_path / f"x-anothermachine-{dead}-a"
    elsewhere.mkdir()
    with drafts.draft(tmp_path, "x-") as made:
        assert made.parent == tmp_path
        assert not gone.exists()
        assert all(path.exists() for path in (locked_, alive, link, file, strange, elsewhere, mine / "thesis.txt"))
    assert not made.exists()
    held.communicate()
    drafts.sweep(tmp_path, "x-")
    assert not locked_.exists()


def test_the_next_push_removes_what_a_killed_one_left(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{drafts.named(pushing._DRAFTS)}{2**22 + 1}-abc"
    left.mkdir()
    verdict = type("Verdict", (), {"problems": ()})
    monkeypatch.setattr(pushing, "verify", lambda folders, **_: [verdict for _ in folders])
    push(exported, "me/it", dry_run=True)
    assert list(tmp_path.iterdir()) == []


# info


@pytest.mark.parametrize(
    "change",
    [
        {"model_args": {"layers": [10**9, 1, 1, 1]}},
        {"pretrained_cfg": {"input_size": [3, 9000, 9000]}},
        {"architecture": "no_such_model", "dermssl": {}},
        {"dermssl": {"settings": 1}},
    ],
)
def test_info_builds_nothing_of_what_a_file_asks_for(exported, tmp_path, monkeypatch, change):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("a network was built"))
    assert CliRunner().invoke(info, [str(exported)]).exit_code == 0
    folder = shutil.copytree(exported, tmp_path / "export")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    result = CliRunner().invoke(info, [str(folder)])
    assert result.exit_code
    assert isinstance(result.exception, DermsslError)
    assert len(str(result.exception).splitlines()) == 1


def test_info_shows_each_result_with_its_protocol(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    write_report(copy / "evaluations" / "camera.json", str(copy), test="/x/rosendahl", split="test set", folds=None)
    write_report(copy / "evaluations" / "few.json", str(copy), evaluation="finetune", k=None, fraction=0.1, epochs=3)
    lines = CliRunner().invoke(info, [str(copy)]).output.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    figures = ["72.5 [70.0, 75.0]", "50.0 [70.0, 75.0]"]
    assert rows[0] == [
        "evaluation",
        "data set",
        "images",
        "division",
        "labels",
        "with",
        "accuracy, %",
        "balanced accuracy, %",
    ]
    assert [row for row in rows[1:] if row[0].strip("-:")] == [
        ["KNN", "HAM10000", "60", "5 folds grouped by lesion", "100 %", "k = 10", *figures],
        ["fine-tuned", "HAM10000", "60", "5 folds grouped by lesion", "10 %", "3 passes", *figures],
        ["KNN", "HAM10000", "60", "tested on rosendahl", "100 %", "k = 10", *figures],
    ]
    assert lines[-1] == "1 results of weights it was compared with: --json"


def test_divide_is_whole():
    record = {"a": 1, "results": [], "peers": {}, "before": [], "figures": []}
    kept, more = divide(record)
    assert {**kept, **more} == record
    assert kept == {"a": 1}
