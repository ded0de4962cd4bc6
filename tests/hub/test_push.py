"""push and load on a Hub of our own: what arrives, who may read it, and everything that can go wrong."""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from click.testing import CliRunner
from hub_fixtures import fresh_python, write_run
from huggingface_hub import ModelCard
from loopback_hub import READ, WRITE
from safetensors.torch import load_file

from dermssl.backbones.load import load_backbone
from dermssl.cli.push import command
from dermssl.errors import DermsslError
from dermssl.hub import push as pushing
from dermssl.hub.check import check
from dermssl.hub.export import export
from dermssl.hub.exported import FILES
from dermssl.hub.push import push
from dermssl.hub.verify import Verdict

pytestmark = pytest.mark.slow  # a Hub and its loading by timm in further processes

NAME = "derm/resnet10t.dermssl_ham10000"


@pytest.fixture
def unverified(monkeypatch):
    """Skip the fresh processes: timm's part is tested once, below."""
    asked = []

    def stub(folders, *, models=(), environment=None):
        asked.extend(models)
        return [Verdict("", 1, True, ()) for _ in folders]

    monkeypatch.setattr(pushing, "verify", stub)
    return asked


@pytest.fixture
def no_waiting(monkeypatch):
    """The Hub's library waits before it tries again."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.fixture
def at(hub, monkeypatch, no_waiting):
    """Loading in this process asks the loopback Hub, with an empty cache."""
    constants = huggingface_hub.constants
    address = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    return hub


def test_push_of_a_run_and_load_by_timm(hub, tmp_path, unverified, monkeypatch):
    """A ResNet18 of 45 MB: pushed, then loaded and fine-tuned by processes that know timm only."""
    monkeypatch.setattr("dermssl.hub.export.verify", pushing.verify)
    run = write_run(tmp_path / "r18", "resnet18")
    result = push(run, "derm/resnet18", endpoint=hub.url, token=WRITE, tag="v1")
    repo = hub.repos["derm/resnet18"]
    assert result.private
    assert repo.private
    assert repo.tags == {"v1": result.commit}
    assert repo.at("main").files.keys() == {".gitattributes", *FILES}
    assert result.files["model.safetensors"] > 44e6
    assert 'name = "hf-hub:derm/resnet18"' in ModelCard(repo.at("main").files["README.md"].decode()).text

    classify = (
        "import json, sys, timm; from safetensors.torch import load_file; import torch; "
        "model = timm.create_model('hf-hub:derm/resnet18@v1', pretrained=True, num_classes=7).state_dict(); "
        "wanted = load_file(sys.argv[1]); "
        "print(json.dumps([len(wanted), sum(torch.equal(model[n], wanted[n]) for n in wanted), len(model)]))"
    )
    file = str(run / "backbone" / "model.safetensors")
    done = fresh_python("-c", classify, file, hub=hub, cache=tmp_path / "cache", HF_TOKEN=WRITE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [120, 120, 122]

    repo.private = False
    images = write_folders(tmp_path / "images")
    example = str(Path(__file__).parents[2] / "examples" / "finetune_with_timm.py")
    done = fresh_python(
        example, "hf-hub:derm/resnet18", str(images), "--epochs", "3", hub=hub, cache=tmp_path / "other"
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.9, done.stdout


def write_folders(folder: Path) -> Path:
    """Red and blue squares, in a folder per class, to train and to test on."""
    from PIL import Image

    for part, number in (("train", 32), ("test", 8)):
        for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            (folder / part / name).mkdir(parents=True)
            for i in range(number):
                Image.new("RGB", (40, 40), tuple(c + i for c in colour)).save(folder / part / name / f"{i}.png")
    return folder


def test_push_of_an_export_and_again(hub, exported, unverified):
    first = push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert unverified == [f"hf-hub:{NAME}@{first.commit}"]
    again = push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert again.commit == first.commit  # nothing changed: no new commit
    assert sum(method == "PUT" for method, _, _ in hub.requests) == 1
    third = push(exported, NAME, endpoint=hub.url, token=WRITE, revision="trial", message="A trial", tag="t1")
    repo = hub.repos[NAME]
    assert repo.branches["trial"] == third.commit
    assert repo.tags == {"t1": third.commit}


def test_pictures_are_pushed(hub, run, exported, tmp_path, unverified):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "evaluations" / "plane.svg").write_text("<svg/>")
    push(copy, NAME, endpoint=hub.url, token=WRITE)
    files = hub.repos[NAME].at("main").files
    assert files.keys() == {".gitattributes", *FILES, "plane.svg"}
    push(export(copy, tmp_path / "out"), NAME, endpoint=hub.url, token=WRITE)  # the same, as an export
    assert hub.repos[NAME].at("main").files.keys() == files.keys()


def test_public_only_when_asked_and_last(hub, exported, unverified, monkeypatch):
    assert push(exported, NAME, endpoint=hub.url, token=WRITE).private
    with monkeypatch.context() as patch:
        patch.setattr(pushing, "verify", lambda folders, models=(), environment=None: [Verdict("", 0, None, ("bad",))])
        with pytest.raises(DermsslError, match="bad"):
            push(exported, NAME, endpoint=hub.url, token=WRITE, public=True)
    assert hub.repos[NAME].private
    assert not push(exported, NAME, endpoint=hub.url, token=WRITE, public=True).private
    assert not hub.repos[NAME].private
    assert not push(exported, NAME, endpoint=hub.url, token=WRITE).private  # it stays what it is


def test_what_arrived_is_loaded_back_by_timm(hub, exported, monkeypatch):
    """The real check, in a fresh process: once it holds, and once the Hub gives back other bytes."""
    real = pushing.verify

    def of_the_hub_only(folders, *, models=(), environment=None):
        return real(folders, models=models, environment=environment) if models else [Verdict("", 1, True, ())]

    monkeypatch.setattr(pushing, "verify", of_the_hub_only)
    assert not push(exported, NAME, endpoint=hub.url, token=WRITE, public=True).private
    file = exported / "model.safetensors"
    hub.damage = file.read_bytes()[:-4] + b"\0\0\0\1"
    with pytest.raises(DermsslError, match="does not load as it was sent"):
        push(exported, f"{NAME}.2", endpoint=hub.url, token=WRITE, public=True)
    assert hub.repos[f"{NAME}.2"].private


def test_dry_run_asks_nothing_of_the_hub(hub, exported, unverified):
    result = CliRunner().invoke(command, [str(exported), NAME, "--endpoint", hub.url, "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "bytes  model.safetensors" in result.output
    assert "(private), with this card" in result.output
    assert "Not a medical device" in result.output
    assert hub.requests == []


def test_command_prints_json_and_never_the_token(hub, exported, unverified, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    result = CliRunner().invoke(command, [str(exported), NAME, "--endpoint", hub.url, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["repository"] == NAME
    assert WRITE not in result.output


def test_what_the_command_says_to_load_is_what_was_pushed(hub, exported, unverified, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    for options, at in (([], ""), (["--revision", "trial"], "@trial"), (["--revision", "trial", "--tag", "v1"], "@v1")):
        result = CliRunner().invoke(command, [str(exported), NAME, "--endpoint", hub.url, *options])
        assert f'timm.create_model("hf-hub:{NAME}{at}", pretrained=True' in result.output, result.output


def test_no_push_offline(hub, exported, unverified, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DermsslError, match="HF_HUB_OFFLINE is set: unset it to push"):
        push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert push(exported, NAME, endpoint=hub.url, dry_run=True).commit is None


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("hf_wrong", NAME, r"does not accept the token.*hf auth login"),
        (READ, NAME, "needs the right to write"),
        (WRITE, "others/model", "needs the right to write"),
    ],
)
def test_who_may_not_write(hub, exported, unverified, token, name, message):
    with pytest.raises(DermsslError, match=message) as error:
        push(exported, name, endpoint=hub.url, token=token)
    assert token not in str(error.value)
    assert not hub.repos


def test_no_right_to_write_to_a_repository_that_is_there(hub, exported, unverified):
    hub.add("others/model", {})
    with pytest.raises(DermsslError, match="needs the right to write"):
        push(exported, "others/model", endpoint=hub.url, token=WRITE)


def test_no_token(hub, exported, unverified, monkeypatch):
    monkeypatch.setattr(pushing, "get_token", lambda: None)
    with pytest.raises(DermsslError, match="no token for the Hub: run `hf auth login`, or set HF_TOKEN"):
        push(exported, NAME, endpoint=hub.url)
    assert hub.requests == []


def test_a_card_that_the_hub_refuses(hub, exported, tmp_path, unverified):
    named = shutil.copytree(exported, tmp_path / "named")
    config = json.loads((exported / "config.json").read_text())
    config["dermssl"]["license"] = "our own"
    (named / "config.json").write_text(json.dumps(config))
    with pytest.raises(DermsslError, match=r'the Hub does not accept the card: - "license" must be one of'):
        push(named, NAME, endpoint=hub.url, token=WRITE)
    assert not hub.stored


def test_a_cut_connection_is_tried_again(hub, exported, unverified, no_waiting):
    hub.cut_uploads = 1
    push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert ("PUT", "cut", 0) in hub.requests
    assert FILES[0] in hub.repos[NAME].at("main").files


def test_nothing_is_half_published_and_a_retry_succeeds(hub, exported, unverified, no_waiting):
    hub.cut_uploads = 100
    with pytest.raises(DermsslError, match=r"cannot upload \(derm/.*no connection to http://127.*Try again"):
        push(exported, NAME, endpoint=hub.url, token=WRITE, public=True)
    assert hub.repos[NAME].at("main").files == {".gitattributes": b""}
    assert hub.repos[NAME].private
    hub.cut_uploads = 0
    push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert FILES[0] in hub.repos[NAME].at("main").files


def test_a_token_is_sent_encrypted_or_nowhere(exported, unverified, monkeypatch):
    with pytest.raises(DermsslError, match="unencrypted; use an https://") as error:
        push(exported, NAME, endpoint="http://me:secret@hub.example", token=WRITE)
    assert "secret" not in str(error.value)
    assert "secret" not in push(exported, NAME, endpoint="http://me:secret@hub.example", dry_run=True).url


_LOADS = """
import dermssl
from dermssl.data.sources.spelled import located
for load, name in (
    (dermssl.load_backbone, "timm:test_resnet.r160_in1k"),
    (dermssl.load_backbone, "hf-hub:derm/it"),
    (located, "hfds/derm/images"),
):
    try:
        load(name)
    except dermssl.DermsslError as error:
        print(name, error)
"""


@pytest.mark.parametrize(("address", "sent"), [("127.0.0.2", False), ("127.0.0.1", True)])
def test_what_is_fetched_sends_a_token_encrypted_or_nowhere(tmp_path, address, sent):
    """127.0.0.2 stands for another machine: not one of the names by which this one is known."""
    heard: list[str | None] = []

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get("Authorization"))
            self.send_response(418)
            self.send_header("X-Error-Message", f"{self.headers.get('Authorization')} at http://me:pass@word@hub/x")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((address, 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [sys.executable, "-c", _LOADS], capture_output=True, text=True, timeout=300,
            env={**os.environ, "HF_ENDPOINT": f"http://{address}:{server.server_port}", "HF_TOKEN": "sesame-open",
                 "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"},
        )  # fmt: skip
        server.shutdown()
    assert done.stdout.count("\n") == 3, done.stdout + done.stderr
    assert len(heard) >= 3
    assert any(heard) == sent
    assert "sesame" not in done.stdout + done.stderr
    assert "pass@" not in done.stdout
    assert "word@" not in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pretrained_cfg": {"input_size": [3, 9000, 9000]}}, "asks for images of 9,000 px"),
        ({"model_args": {"layers": [10**5, 1, 1, 1]}}, "far larger network"),
        ({"model_args": {"channels": [2**19, 64, 64, 64]}}, "do not fit|larger network|other shape"),
    ],
    ids=["images", "depth", "width"],
)
def test_a_network_that_is_not_the_weights_is_not_built_to_check_it(exported, tmp_path, change, said):
    folder = shutil.copytree(exported, tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    for name, values in change.items():
        config[name] = {**config.get(name, {}), **values}
    (folder / "config.json").write_text(json.dumps(config))
    begun = time.monotonic()
    with pytest.raises(DermsslError, match=said):
        push(folder, NAME, dry_run=True)
    [problems] = check([folder]).values()
    assert re.search(said, problems[0])
    assert time.monotonic() - begun < 60


def test_server_down(exported, unverified):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DermsslError, match=r"cannot look at the repository .*is there a network"):
        push(exported, NAME, endpoint=url, token=WRITE)


def test_something_else_is_not_overwritten(hub, exported, unverified):
    other = b'{"architecture": "resnet18", "pretrained_cfg": {}}'
    hub.add(NAME, {"config.json": other, "pytorch_model.bin": b"x", "README.md": b"mine"})
    with pytest.raises(DermsslError, match=r"holds something else \(config.json, pytorch_model.bin\).*--force"):
        push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert hub.repos[NAME].at("main").files["README.md"] == b"mine"
    push(exported, NAME, endpoint=hub.url, token=WRITE, force=True)
    assert hub.repos[NAME].at("main").files.keys() >= {"pytorch_model.bin", *FILES}


def test_another_architecture_or_a_strange_file_is_something_else(hub, exported, unverified):
    push(exported, NAME, endpoint=hub.url, token=WRITE)
    repo = hub.repos[NAME]
    config = json.loads(repo.at("main").files["config.json"])
    repo.commit({"notes.txt": b"mine"}, "notes")
    with pytest.raises(DermsslError, match=r"holds something else \(notes.txt\)"):
        push(exported, NAME, endpoint=hub.url, token=WRITE)
    repo.commit({"config.json": json.dumps({**config, "architecture": "resnet50"}).encode()}, "other")
    with pytest.raises(DermsslError, match=r"holds something else .*model\.safetensors"):
        push(exported, NAME, endpoint=hub.url, token=WRITE)


def test_a_commit_in_between_is_not_overwritten(hub, exported, unverified, monkeypatch):
    push(exported, NAME, endpoint=hub.url, token=WRITE)
    look = pushing.Repository.look

    def look_and_then_somebody_commits(self, *arguments):
        found = look(self, *arguments)
        hub.repos[NAME].commit({"config.json": b"{}"}, "somebody's")
        return found

    monkeypatch.setattr(pushing.Repository, "look", look_and_then_somebody_commits)
    with pytest.raises(DermsslError, match="changed at the same time; try again"):
        push(exported, NAME, endpoint=hub.url, token=WRITE)
    assert hub.repos[NAME].at("main").message == "somebody's"


def test_a_tag_is_moved_by_force_only(hub, exported, tmp_path, unverified):
    first = push(exported, NAME, endpoint=hub.url, token=WRITE, tag="v1")
    push(exported, NAME, endpoint=hub.url, token=WRITE, tag="v1")  # the same commit: nothing to say
    hub.repos[NAME].commit({"README.md": b"edited"}, "by hand")
    with pytest.raises(DermsslError, match="has a tag v1 already"):
        push(exported, NAME, endpoint=hub.url, token=WRITE, tag="v1")
    assert hub.repos[NAME].tags["v1"] == first.commit
    assert hub.repos[NAME].at("main").message == "by hand"  # refused before anything was uploaded
    moved = push(exported, NAME, endpoint=hub.url, token=WRITE, tag="v1", force=True)
    assert hub.repos[NAME].tags["v1"] == moved.commit != first.commit

    other = shutil.copytree(exported, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["dermssl"]["license"] = "mit"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(DermsslError, match=r"has a tag v1 already.* The files are there, as commit .* without a tag"):
        push(other, NAME, endpoint=hub.url, token=WRITE, tag="v1")  # only a commit tells that it is not the same


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {}, "write ORG/NAME"),
        ("derm/a/b", {}, "write ORG/NAME"),
        ("derm/a--b", {}, "Cannot have -- or"),
        (NAME, {"revision": "a b"}, "--revision 'a b': not a name that git accepts"),
        (NAME, {"tag": "-x"}, "--tag '-x'"),
        (NAME, {"license": "mit"}, "its licence is settled"),
    ],
)
def test_bad_options(hub, exported, unverified, name, options, message):
    with pytest.raises(DermsslError, match=message):
        push(exported, name, endpoint=hub.url, token=WRITE, **options)
    assert hub.requests == []


def test_public_needs_a_licence(hub, exported, tmp_path, unverified):
    unlicensed = shutil.copytree(exported, tmp_path / "unlicensed")
    config = json.loads((exported / "config.json").read_text())
    config["dermssl"]["license"] = None
    (unlicensed / "config.json").write_text(json.dumps(config))
    with pytest.raises(DermsslError, match="name that of the weights: --license ID"):
        push(unlicensed, NAME, endpoint=hub.url, token=WRITE, public=True)
    assert push(unlicensed, NAME, endpoint=hub.url, token=WRITE).private


# load_backbone


def files(exported: Path) -> dict[str, bytes]:
    return {name: (exported / name).read_bytes() for name in FILES}


def test_load_with_a_revision_then_offline_then_without_a_server(at, exported, monkeypatch):
    repo = at.add(NAME, {})
    repo.commit(files(exported), "weights")
    repo.tags["v1"] = repo.branches["main"]
    repo.commit({"model.safetensors": b"spoilt later"}, "spoilt")
    wanted = load_file(exported / "model.safetensors")
    for step in ("first", "offline", "server down"):
        if step == "offline":
            monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
            heard = len(at.requests)
        model = load_backbone(f"hf-hub:{NAME}@v1")
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())
        if step == "offline":
            assert len(at.requests) == heard
            with pytest.raises(DermsslError, match="HF_HUB_OFFLINE is set and it is not in the cache"):
                load_backbone("hf-hub:derm/other")
            monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
            at.stop()
    with pytest.raises(DermsslError, match="no connection to http://127"):
        load_backbone("hf-hub:derm/other")


def test_load_of_a_private_repository(at, exported, monkeypatch):
    at.add(NAME, files(exported), private=True)
    with pytest.raises(DermsslError, match="no such repository, or a private one that needs a token"):
        load_backbone(f"hf-hub:{NAME}")
    monkeypatch.setenv("HF_TOKEN", WRITE)
    assert load_backbone(f"hf-hub:{NAME}").num_features == 512


def test_a_full_disk_while_downloading(at, exported, monkeypatch):
    at.add(NAME, files(exported))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(DermsslError, match=r"config\.json: no space left on the disk; free some, or set HF_HOME"):
        load_backbone(f"hf-hub:{NAME}")


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        (f"hf-hub:{NAME}@no-such", "the repository has no such revision"),
        ("hf-hub:derm/nothing", "no such repository"),
        ("hf-hub:derm/empty", "config.json: the repository has no such file"),
        ("hf-hub:derm/pickled", "model.safetensors: the repository has no such file"),
        ("hf-hub:derm/prefixed", "without their prefix 'module.'"),
    ],
)
def test_what_the_hub_does_not_have(at, exported, spelling, message):
    from safetensors.torch import save

    content = files(exported)
    at.add(NAME, content)
    at.add("derm/empty", {})
    at.add("derm/pickled", {"config.json": content["config.json"], "pytorch_model.bin": b"x"})
    tensors = {f"module.{name}": t for name, t in load_file(exported / "model.safetensors").items()}
    at.add("derm/prefixed", {"config.json": content["config.json"], "model.safetensors": save(tensors)})
    with pytest.raises(DermsslError, match=message):
        load_backbone(spelling)
