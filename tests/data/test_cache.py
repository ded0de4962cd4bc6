"""The cache: what it holds, and that a kill, a full disk or a second process cannot spoil it."""

import csv
import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.data import cache_files, fill, opener
from dermssl.data import prepare as module
from dermssl.data.cache import open_cache, source_size
from dermssl.data.decode import decode, read_bytes
from dermssl.data.formats import UnreadableImage
from dermssl.data.prepare import cached, prepare
from dermssl.data.read import read_records
from dermssl.errors import DermsslError
from tests.data.drawn import write_images


@pytest.fixture
def counted(monkeypatch):
    """Count the images that are really decoded; ``fail_at`` raises there."""

    class Counter:
        calls = 0
        fail_at = -1

    original = module.decode_shaped

    def decode(*args):
        Counter.calls += 1
        if Counter.calls == Counter.fail_at:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(module, "decode_shaped", decode)
    return Counter


@pytest.fixture
def failing(monkeypatch):
    """File name -> reason: these cannot be read, though nothing about them shows it, as where a disk fails."""
    reasons: dict[str, str] = {}
    original = opener.read_bytes

    def read_bytes(path):
        if path.name in reasons:
            raise UnreadableImage(reasons[path.name])
        return original(path)

    monkeypatch.setattr(opener, "read_bytes", read_bytes)
    return reasons


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("images.npy", "records.csv", "problems.csv")}


def test_it_holds_what_decoding_gives_in_the_order_of_the_records(tmp_path):
    folder = write_images(tmp_path / "images", 7)
    for fit in ("squash", "crop"):
        cache = prepare(folder, tmp_path / fit, size=16, fit=fit, progress=False)
        records = read_records(folder)
        assert cache.images.shape == (7, 16, 16, 3)
        assert cache.images.dtype == np.uint8
        assert not cache.images.flags.writeable
        assert (cache.size, cache.fit, cache.problems) == (16, fit, ())
        assert cache.records.ids == records.ids
        assert cache.records.paths == records.paths
        for image, path in zip(cache.images, records.paths, strict=True):
            assert (image == decode(read_bytes(path), 16, fit)).all()


def test_labels_groups_and_columns_survive(tmp_path):
    folder = write_images(tmp_path / "set", 3)
    (folder / "set.csv").write_text('image,label,group,site\n000.png,b,1,"leg, left"\n001.png,,2,\n002.png,a,1,arm\n')
    made = prepare(folder, tmp_path / "out", size=8, progress=False)
    again = open_cache(tmp_path / "out")
    for records in (made.records, again.records):
        assert records.layout == "csv"
        assert records.classes == ("a", "b")
        assert records.labels.tolist() == [1, -1, 0]
        assert records.groups == ("1", "2", "1")
        assert records.attributes == {"site": ("leg, left", "", "arm")}
    assert read_records(tmp_path / "out").layout == "prepared cache"
    assert read_records(tmp_path / "out").ids == made.records.ids


def test_unreadable_images_are_left_out_and_duplicates_reported(tmp_path, caplog):
    folder = write_images(tmp_path / "images", 30)
    (folder / "005.png").write_bytes(b"no image at all")
    (folder / "020.png").write_bytes((folder / "010.png").read_bytes())
    cache = prepare(folder, tmp_path / "out", size=8, progress=False)
    assert len(cache.images) == len(cache.records) == 29
    assert "005.png" not in cache.records.ids
    assert (cache.images[5] == decode(read_bytes(folder / "006.png"), 8)).all()
    assert {problem.path: problem.reason for problem in cache.problems} == {
        "005.png": "unreadable: not an image of a known format",
        "020.png": "byte for byte the same as 010.png",
    }
    with open(tmp_path / "out" / "problems.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "005.png" in caplog.text
    assert "020.png" in caplog.text
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["images"], manifest["unreadable"], manifest["duplicates"]) == (29, 1, 1)
    assert (tmp_path / "out" / "images.npy").stat().st_size == 128 + 29 * 8 * 8 * 3


def test_too_many_unreadable_images_are_an_error_and_a_larger_share_goes_on(tmp_path, counted):
    folder = write_images(tmp_path / "images", 10)
    (folder / "003.png").write_bytes(b"x")
    with pytest.raises(DermsslError, match=r"1 of the first 10 images.*more than 5%: 003.png: unreadable: not an"):
        prepare(folder, tmp_path / "out", size=8, progress=False)
    assert not (tmp_path / "out" / "manifest.json").exists()
    counted.calls = 0
    assert len(prepare(folder, tmp_path / "out", size=8, max_bad=0.1, progress=False).images) == 9
    assert counted.calls == 1  # the unreadable one, once more


def test_nothing_readable_is_an_error_whatever_the_share(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    with pytest.raises(DermsslError, match="1 of the first 1 images"):
        prepare(folder, tmp_path / "out", size=8, max_bad=1.0, progress=False)


def test_a_second_run_decodes_nothing_and_other_input_is_refused(tmp_path, counted):
    folder = write_images(tmp_path / "images", 5)
    first = prepare(folder, tmp_path / "out", size=8, progress=False)
    counted.calls = 0
    assert prepare(folder, tmp_path / "out", size=8, progress=False).content_hash == first.content_hash
    assert counted.calls == 0
    with pytest.raises(DermsslError, match=r"already holds a cache of 5 images .* at 8 px.* at 16 px"):
        prepare(folder, tmp_path / "out", size=16, progress=False)
    write_images(folder, 6)
    with pytest.raises(DermsslError, match=r"already holds a cache of 5 images.*and .*6 images.* were asked for"):
        prepare(folder, tmp_path / "out", size=8, progress=False)


def test_the_content_hash_follows_files_ids_labels_size_and_fit_but_not_the_place(tmp_path):
    folder = write_images(tmp_path / "a", 4)
    base = prepare(folder, tmp_path / "1", size=8, progress=False).content_hash
    (tmp_path / "moved").mkdir()
    for path in folder.iterdir():
        (tmp_path / "moved" / path.name).write_bytes(path.read_bytes())
    assert prepare(tmp_path / "moved", tmp_path / "2", size=8, progress=False).content_hash == base
    others = {
        prepare(folder, tmp_path / "3", size=16, progress=False).content_hash,
        prepare(folder, tmp_path / "4", size=8, fit="crop", progress=False).content_hash,
    }
    (folder / "set.csv").write_text("image,label\n" + "".join(f"{p.name},x\n" for p in sorted(folder.glob("*.png"))))
    others.add(prepare(folder, tmp_path / "5", size=8, progress=False).content_hash)
    assert len(others | {base}) == 4


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, counted, monkeypatch):
    monkeypatch.setattr(fill, "_CHUNK_BYTES", 4 * 8 * 8 * 3)
    folder = write_images(tmp_path / "images", 40)
    (folder / "002.png").write_bytes(b"x")
    counted.fail_at = 22
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "out", size=8, workers=1, progress=False)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(DermsslError, match=r"unfinished one: run dermssl prepare again"):
        open_cache(tmp_path / "out")
    counted.calls, counted.fail_at = 0, -1
    cache = prepare(folder, tmp_path / "out", size=8, workers=1, progress=False)
    assert 0 < counted.calls <= 40 - 16
    unbroken = prepare(folder, tmp_path / "other", size=8, progress=False)
    assert (cache.images == unbroken.images).all()
    assert cache.content_hash == unbroken.content_hash
    assert cache.problems == unbroken.problems
    assert {path.name for path in (tmp_path / "out").iterdir()} - {".lock"} == {
        "images.npy",
        "manifest.json",
        "problems.csv",
        "records.csv",
    }


def test_images_that_could_not_be_read_are_tried_again_when_a_run_goes_on(tmp_path, counted, failing, monkeypatch):
    monkeypatch.setattr(fill, "_CHUNK_BYTES", 4 * 8 * 8 * 3)
    folder = write_images(tmp_path / "images", 60)
    failing.update({"003.png": "Input/output error", "009.png": "Input/output error", "013.png": "Permission denied"})
    counted.fail_at = 30
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "out", size=8, workers=1, progress=False)
    counted.calls, counted.fail_at = 0, -1
    failing["003.png"] = "Stale file handle"
    del failing["009.png"]
    prepare(folder, tmp_path / "out", size=8, workers=1, max_bad=0.1, progress=False)
    assert 60 - 9 - 1 <= counted.calls <= 60 - 9 + 1  # what came before the mended one is kept
    prepare(folder, tmp_path / "other", size=8, max_bad=0.1, progress=False)
    assert content(tmp_path / "out") == content(tmp_path / "other")


def test_a_kill_while_mended_images_are_put_in_place_loses_nothing(tmp_path, counted, failing, monkeypatch):
    monkeypatch.setattr(fill, "_CHUNK_BYTES", 4 * 8 * 8 * 3)
    folder = write_images(tmp_path / "images", 40)
    failing["005.png"] = "Input/output error"
    for stop in (20, 8, 14, 2):
        counted.calls, counted.fail_at = 0, stop
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, tmp_path / "out", size=8, workers=1, progress=False)
        failing.clear()
    counted.fail_at = -1
    prepare(folder, tmp_path / "out", size=8, progress=False)
    prepare(folder, tmp_path / "other", size=8, progress=False)
    assert content(tmp_path / "out") == content(tmp_path / "other")


def test_after_too_many_unreadable_images_the_next_run_tries_them_again(tmp_path, failing):
    folder = write_images(tmp_path / "images", 10)
    failing["003.png"] = "Permission denied"
    for _ in range(2):
        with pytest.raises(DermsslError, match="1 of the first 10 images"):
            prepare(folder, tmp_path / "out", size=8, progress=False)
    failing.clear()
    assert len(prepare(folder, tmp_path / "out", size=8, progress=False).images) == 10


def test_a_finished_cache_says_once_how_many_images_it_leaves_out(tmp_path, failing, caplog, monkeypatch):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "user"))
    folder = write_images(tmp_path / "images", 30)
    failing["003.png"] = "Input/output error"
    cache = cached(folder, size=8, progress=False)
    assert "1 images are unreadable (left out): 003.png" in caplog.text
    assert str(cache.path) in caplog.text
    failing.clear()
    caplog.clear()
    for _ in range(2):
        assert len(cached(folder, size=8, progress=False).images) == 29
    [line] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"{cache.path} leaves out 1 ")
    assert f"delete {cache.path}" in line


def test_a_killed_process_leaves_a_resumable_cache(tmp_path):
    folder = write_images(tmp_path / "images", 40)
    script = """
import os, signal, sys
from dermssl.data import fill, prepare
fill._CHUNK_BYTES = 4 * 8 * 8 * 3
original, calls = prepare.decode_shaped, []
def decode(*args):
    calls.append(1)
    if len(calls) == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args)
prepare.decode_shaped = decode
prepare.prepare(sys.argv[1], sys.argv[2], size=8, workers=1, progress=False)
"""
    done = subprocess.run([sys.executable, "-c", script, folder, tmp_path / "out"], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    journal = tmp_path / "out" / "unfinished" / "journal"
    assert len(journal.read_text().splitlines()) >= 24
    with open(journal, "a") as file:
        file.write('["half a li')  # as if the power had gone while it was written
    cache = prepare(folder, tmp_path / "out", size=8, progress=False)
    assert (cache.images == prepare(folder, tmp_path / "other", size=8, progress=False).images).all()


def test_a_kill_while_the_finished_files_are_moved_is_repaired(tmp_path, counted, monkeypatch):
    folder = write_images(tmp_path / "images", 6)
    replace = os.replace

    def interrupted(source, target):
        if Path(target) == tmp_path / "out" / "problems.csv":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(fill.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "out", size=8, progress=False)
    monkeypatch.setattr(fill.os, "replace", replace)
    counted.calls = 0
    other = write_images(tmp_path / "other", 3)
    with pytest.raises(DermsslError, match=r"already holds a cache of 6 images"):
        prepare(other, tmp_path / "out", size=8, progress=False)
    assert len(prepare(folder, tmp_path / "out", size=8, progress=False).images) == 6
    assert counted.calls == 0


def test_unfinished_work_on_changed_files_starts_over_and_on_another_set_is_refused(tmp_path, counted):
    folder = write_images(tmp_path / "images", 10)
    counted.fail_at = 5
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "out", size=8, workers=1, progress=False)
    counted.fail_at = -1
    other = write_images(tmp_path / "other", 3)
    with pytest.raises(DermsslError, match=r"unfinished cache of .*images at 8 px"):
        prepare(other, tmp_path / "out", size=8, progress=False)
    (folder / "000.png").write_bytes((other / "001.png").read_bytes())
    cache = prepare(folder, tmp_path / "out", size=8, progress=False)
    assert (cache.images[0] == decode(read_bytes(other / "001.png"), 8)).all()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_a_clear_error_and_the_next_run_goes_on(tmp_path, monkeypatch, code):
    folder = write_images(tmp_path / "images", 4)

    def full(*args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(fill, "_allocate", full)
        message = r"no room left for .*B are free" if code == errno.ENOSPC else "cannot be written: File too large"
        with pytest.raises(DermsslError, match=message):
            prepare(folder, tmp_path / "out", size=8, progress=False)
    assert len(prepare(folder, tmp_path / "out", size=8, progress=False).images) == 4


def test_outputs_that_cannot_be_used(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DermsslError, match="cannot be written: Not a directory"):
        prepare(folder, tmp_path / "file" / "out", size=8, progress=False)
    with pytest.raises(DermsslError, match=r"cannot be written: File exists|cannot be written: Not a directory"):
        prepare(folder, tmp_path / "file", size=8, progress=False)
    with pytest.raises(DermsslError, match="is the data itself"):
        prepare(folder, folder, size=8, progress=False)
    with pytest.raises(DermsslError, match="a folder around it"):
        prepare(folder, tmp_path, size=8, progress=False)
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "thesis.txt").write_text("x")
    with pytest.raises(DermsslError, match="not empty and does not hold a prepared cache"):
        prepare(folder, tmp_path / "busy", size=8, progress=False)
    assert sorted(path.name for path in (tmp_path / "busy").iterdir()) == ["thesis.txt"]


@pytest.mark.parametrize("options", [{"size": 4}, {"size": 9999}, {"fit": "stretch"}, {"workers": 0}, {"max_bad": 2}])
def test_wrong_options_are_named(tmp_path, options):
    with pytest.raises(DermsslError, match=next(iter(options)).replace("_", "-")):
        prepare(tmp_path, tmp_path / "out", **{"size": 8, "progress": False} | options)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("manifest.json", lambda p: p.write_text("{"), "manifest.json is damaged"),
        ("manifest.json", lambda p: p.write_text('{"format": "other"}'), "not the manifest of a prepared cache"),
        ("manifest.json", lambda p: p.write_text("[1]"), "not the manifest of a prepared cache"),
        ("manifest.json", lambda p: p.write_text(p.read_text().replace('"version": 2', '"version": 9')), "version 9"),
        ("manifest.json", lambda p: p.write_text(p.read_text().replace('"size"', '"dize"')), "no valid size"),
        ("manifest.json", lambda p: p.write_text(p.read_text().replace('"images": 5', '"images": 6')), "damaged"),
        ("images.npy", truncate, "images.npy is damaged"),
        ("images.npy", lambda p: p.unlink(), "images.npy is damaged"),
        ("images.npy", lambda p: np.save(p, np.zeros(3)), "holds float64"),
        ("records.csv", truncate, "records.csv is damaged"),
        ("records.csv", lambda p: p.write_text(""), "records.csv is damaged"),
        ("problems.csv", lambda p: p.unlink(), "records.csv is damaged|problems.csv"),
    ],
)
def test_a_damaged_cache_is_a_clear_error(tmp_path, name, spoil, message):
    prepare(write_images(tmp_path / "images", 5), tmp_path / "out", size=8, progress=False)
    spoil(tmp_path / "out" / name)
    with pytest.raises(DermsslError, match=message):
        open_cache(tmp_path / "out")


def test_no_cache_at_all(tmp_path):
    with pytest.raises(DermsslError, match=r"is not a prepared cache: manifest.json is missing"):
        open_cache(tmp_path)


def test_cached_starts_at_once_the_second_time_and_follows_changes(tmp_path, counted, monkeypatch):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "user"))
    folder = write_images(tmp_path / "images", 5)
    first = cached(folder, size=8, progress=False)
    assert first.path.parent == tmp_path / "user"
    counted.calls = 0
    assert cached(folder, size=8, progress=False).path == first.path
    assert counted.calls == 0
    assert cached(folder, size=16, progress=False).path != first.path
    Image.new("RGB", (9, 9)).save(folder / "000.png")
    changed = cached(folder, size=8, progress=False)
    assert changed.path != first.path
    assert (changed.images[0] == 0).all()


def test_a_prepared_cache_is_opened_reduced_or_used_as_it_is(tmp_path, counted, monkeypatch, caplog):
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "user"))
    folder = write_images(tmp_path / "images", 5)
    (folder / "004.png").write_bytes((folder / "003.png").read_bytes())
    big = prepare(folder, tmp_path / "big", size=32, fit="crop", progress=False)
    counted.calls = 0
    assert cached(big.path, size=32, fit="crop").path == big.path
    caplog.set_level("INFO", logger="dermssl")
    assert cached(big.path, size=48).path == big.path
    assert "holds 32 px images, fewer than the 48 asked for" in caplog.text
    small = cached(big.path, size=12, progress=False)
    assert small.images.shape == (5, 12, 12, 3)
    assert small.fit == "crop"
    assert small.records.ids == big.records.ids
    assert small.problems == big.problems
    assert len(small.problems) == 1
    expected = np.asarray(Image.fromarray(big.images[2]).resize((12, 12), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(small.images[2].astype(int) - expected).mean() < 6  # noise, reduced in two steps
    assert cached(big.path, size=12, progress=False).path == small.path
    assert counted.calls == 0
    again = prepare(big.path, tmp_path / "small", size=12, progress=False)
    assert (again.images == small.images).all()
    with pytest.raises(DermsslError, match="needs the original files"):
        prepare(big.path, tmp_path / "bigger", size=64, progress=False)


def test_two_at_once_build_one_cache(tmp_path, counted, monkeypatch):
    folder = write_images(tmp_path / "images", 12)
    original = module.decode_shaped

    def slow(*args):
        time.sleep(0.005)
        return original(*args)

    monkeypatch.setattr(module, "decode_shaped", slow)
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(prepare(folder, tmp_path / "out", size=8, workers=1, progress=False))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert counted.calls == 12
    assert len({cache.content_hash for cache in results}) == 1


def test_a_cache_inside_the_data_folder_is_not_read_as_data(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    prepare(folder, folder / "cache", size=8, progress=False)
    assert read_records(folder).layout == "image folder"
    assert len(read_records(folder)) == 3


@pytest.mark.parametrize(("image_size", "size"), [(64, 72), (224, 256), (128, 144), (160, 184), (32, 40), (96, 112)])
def test_source_size_is_nine_eighths_and_a_multiple_of_eight(image_size, size):
    assert source_size(image_size) == size


def test_the_header_is_one_that_numpy_reads(tmp_path):
    for count in (1, 9_999_999):
        assert len(cache_files.npy_header((count, 4096, 4096, 3))) == 128
    (tmp_path / "x.npy").write_bytes(cache_files.npy_header((2, 2, 2, 3)) + bytes(range(24)))
    assert (np.load(tmp_path / "x.npy") == np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)).all()


def test_the_data_modules_do_not_import_torch():
    code = (
        "import sys, dermssl.data.cache, dermssl.data.folds, dermssl.data.synthetic; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
