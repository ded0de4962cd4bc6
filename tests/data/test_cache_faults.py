"""What is damaged, cut, altered, or no file at all: said or left out, never trained on and never waited for."""

import errno
import json
import logging
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermssl.data import allowance, cache_files, decode, fill
from dermssl.data import prepare as module
from dermssl.data.cache import open_cache
from dermssl.data.mapped import refuse_cut
from dermssl.data.prepare import prepare
from dermssl.data.records import Kind
from dermssl.errors import DermsslError
from dermssl.files import write_text
from tests.data.drawn import write_images


def interrupted(folder: Path, output: Path, monkeypatch, after: int = 25) -> Path:
    """An unfinished cache, and its folder of work."""
    with monkeypatch.context() as patch:
        patch.setattr(fill, "_CHUNK_BYTES", 4 * 8 * 8 * 3)
        original, calls = module.decode_shaped, []

        def stopping(*args):
            calls.append(1)
            if len(calls) > after:
                raise KeyboardInterrupt
            return original(*args)

        patch.setattr(module, "decode_shaped", stopping)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, output, size=8, workers=1, progress=False)
    return output / "unfinished"


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("images.npy", "records.csv", "problems.csv")}


def test_a_cache_knows_shapes_files_and_pixels(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    Image.new("RGB", (30, 60)).save(folder / "tall.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 60)).save(folder / "turned.jpg", exif=turned)
    cache = prepare(folder, tmp_path / "out", size=8, progress=False)
    assert cache.aspects is not None
    assert cache.aspects.tolist() == [40 / 30] * 3 + [0.5, 2.0]
    assert all(len(digest) == 64 for digest in cache.hashes)
    part = cache.select(np.array([4, 0]))
    assert part.aspects is not None
    assert part.aspects.tolist() == [2.0, 40 / 30]
    assert part.hashes == (cache.hashes[4], cache.hashes[0])
    assert prepare(cache.path, tmp_path / "small", size=8, progress=False).aspects.tolist() == cache.aspects.tolist()
    cropped = prepare(folder, tmp_path / "crop", size=8, fit="crop", progress=False)
    assert cropped.aspects is not None
    assert cropped.aspects.tolist() == [1.0] * 5


def test_a_cache_without_shapes_is_opened_with_one_warning(caplog):
    earlier = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "cache"
    for _ in range(2):
        assert open_cache(earlier).aspects is None
    said = [record.message for record in caplog.records if "does not know the shapes" in record.message]
    assert len(said) <= 1  # another test may have opened it before
    assert all("prepare it again" in message for message in said)


@pytest.mark.parametrize("name", ["images.npy", "records.csv", "problems.csv", "manifest.json"])
def test_any_altered_byte_is_noticed(tmp_path, name):
    prepare(write_images(tmp_path / "images", 4), tmp_path / "out", size=8, progress=False)
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        path.write_bytes(spoiled)
        if name == "images.npy" and place < 128:
            continue  # blanks of the header say nothing; its shape is compared
        if name == "manifest.json" and whole[place : place + 1].isspace():
            continue
        with pytest.raises(DermsslError, match=r"damaged|not the manifest|version"):
            open_cache(tmp_path / "out")
    path.write_bytes(whole)
    open_cache(tmp_path / "out")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda work: os.truncate(work / "images.npy", 128 + 10 * 192),
        lambda work: (work / "images.npy").unlink(),
        lambda work: (work / "images.npy").write_bytes(b"\0" * 10_000),
        lambda work: os.truncate(work / "journal", 300),
        lambda work: (work / "journal").write_bytes(b""),
        lambda work: (work / "journal").write_bytes(b"\n\n\n"),
        lambda work: (work / "journal").write_bytes(b"[" * 200_000 + b"\n"),
        lambda work: (work / "journal").write_text('["x", "wide", 3, ""]\n[1]\n{}\n'),
        lambda work: (work / "journal").write_text('["a\\u0000", 1.5, "b", ""]\n'),
        lambda work: (work / "journal").write_bytes(b"\xff\xfe\n" + (work / "journal").read_bytes()),
        lambda work: (work / "request.json").write_text("{"),
        lambda work: (work / "request.json").write_text('{"request": [], "source": 1}'),
        lambda work: (work / "request.json").write_bytes(b"[" * 200_000),
        lambda work: (work / "request.json").unlink(),
    ],
)
def test_unfinished_work_that_was_spoiled_gives_the_cache_of_an_unbroken_run(tmp_path, monkeypatch, spoil):
    folder = write_images(tmp_path / "images", 40)
    spoil(interrupted(folder, tmp_path / "out", monkeypatch))
    prepare(folder, tmp_path / "out", size=8, progress=False)
    prepare(folder, tmp_path / "other", size=8, progress=False)
    assert content(tmp_path / "out") == content(tmp_path / "other")


def test_special_files_in_the_place_of_images_are_listed(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "images", 5)
    monkeypatch.chdir(folder)  # the path of a socket must be short
    os.mkfifo("z.jpg")
    os.symlink("/dev/zero", "zero.png")
    os.symlink("loop.jpg", "loop.jpg")
    with open("huge.jpg", "wb") as file:
        file.truncate(40 * 2**30)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
        cache = prepare(folder, tmp_path / "out", size=8, max_bad=1.0, progress=False)
    assert len(cache.images) == 5
    assert {p.path for p in cache.problems} >= {"z.jpg", "zero.png", "huge.jpg", "socket.png"}
    reasons = " ".join(problem.reason for problem in cache.problems)
    for said in ("is a FIFO", "is a device", "is larger than", "is a socket"):
        assert said in reasons
    assert all(problem.kind is not Kind.OTHER for problem in cache.problems)


@pytest.mark.parametrize("name", ["manifest.json", "images.npy", "records.csv", "problems.csv"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_special_files_in_a_cache_are_one_error(tmp_path, name, make):
    folder = write_images(tmp_path / "images", 4)
    prepare(folder, tmp_path / "out", size=8, progress=False)
    (tmp_path / "out" / name).unlink()
    make(tmp_path / "out" / name)
    with pytest.raises(DermsslError, match=r"is a (FIFO|folder|device)"):
        open_cache(tmp_path / "out")
    if name == "manifest.json":
        with pytest.raises(DermsslError, match=r"was not put there by dermssl"):
            prepare(folder, tmp_path / "out", size=8, progress=False)


def test_nothing_is_written_through_a_link(tmp_path, monkeypatch):
    folder, private = write_images(tmp_path / "images", 40), tmp_path / "private"
    private.write_text("key")
    work = interrupted(folder, tmp_path / "out", monkeypatch)
    (work / "images.npy").unlink()
    (work / "images.npy").symlink_to(private)
    with pytest.raises(DermsslError, match="is a link"):
        prepare(folder, tmp_path / "out", size=8, progress=False)
    assert private.read_text() == "key"
    (work / "images.npy").unlink()
    (work / "journal").unlink()
    (work / "journal").symlink_to(private)  # nothing of it is a journal: it is replaced
    assert len(prepare(folder, tmp_path / "out", size=8, progress=False).images) == 40
    assert private.read_text() == "key"
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / ".lock").symlink_to(private)
    with pytest.raises(DermsslError, match=r"is a link"):
        prepare(folder, tmp_path / "locked", size=8, progress=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "unfinished").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DermsslError, match="was not put there by dermssl"):
        prepare(folder, tmp_path / "linked", size=8, progress=False)
    assert private.read_text() == "key"
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("name", ["open_regular", "read_regular"])
def test_what_the_system_says_is_not_damage(tmp_path, monkeypatch, code, name):
    prepare(write_images(tmp_path / "images", 4), tmp_path / "out", size=8, progress=False)

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache_files, name, refuse)
    with pytest.raises(DermsslError, match=f"cannot be read: {os.strerror(code)}; ") as caught:
        open_cache(tmp_path / "out")
    assert "damaged" not in str(caught.value)
    assert "delete" not in str(caught.value)


def test_too_few_file_descriptors_do_not_lose_images(tmp_path, monkeypatch):
    def refuse(path, most):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(decode, "read_regular", refuse)
    with pytest.raises(DermsslError, match=r"000.png: Too many open files; raise the limit"):
        prepare(write_images(tmp_path / "images", 3), tmp_path / "out", size=8, workers=1, progress=False)


def test_a_carriage_return_does_not_spoil_a_cache(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    (folder / "a\rb.png").write_bytes((folder / "000.png").read_bytes())
    (folder / "set.csv").write_bytes(b'image,label,note\n000.png,"x\ry",n\n001.png,z,"a\r"\n002.png,"x\ry",\n')
    cache = prepare(folder, tmp_path / "out", size=8, max_bad=1, progress=False)
    again = open_cache(tmp_path / "out")
    assert again.records.classes == cache.records.classes
    assert again.records.attributes == cache.records.attributes
    assert again.problems == cache.problems


def test_a_full_disk_says_what_is_needed(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fill, "_allocate", full)
    with pytest.raises(DermsslError, match=r"no room left for .*out: it needs 1.2 MB more of its 1.2 MB, and .* free"):
        prepare(write_images(tmp_path / "images", 6), tmp_path / "out", size=256, progress=False)


def test_memory_that_runs_out_names_the_option_and_keeps_what_is_done(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "images", 12)
    original = module.decode_shaped

    def failing(*args):
        if args[0] == (folder / "007.png").read_bytes():
            raise MemoryError
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "decode_shaped", failing)
        with pytest.raises(DermsslError, match=r"007.png: not enough memory .* with 4 workers; use --workers 2"):
            prepare(folder, tmp_path / "out", size=8, workers=4, progress=False)
    assert len(prepare(folder, tmp_path / "out", size=8, progress=False).images) == 12


def test_a_file_that_is_cut_while_it_is_read_is_an_error_not_a_signal(tmp_path):
    cache = prepare(write_images(tmp_path / "images", 40), tmp_path / "out", size=16, progress=False)
    refuse_cut(cache.images)
    os.truncate(tmp_path / "out" / "images.npy", 5000)
    with pytest.raises(DermsslError, match=r"images.npy was cut to 5,000 bytes while it was read"):
        refuse_cut(cache.images)
    for index in (0, slice(3), np.array([1, 2]), np.arange(40) > 3, (slice(None), 0), ...):
        with pytest.raises(DermsslError, match=r"images.npy was cut to 5,000 bytes"):
            cache.images[index]
    with pytest.raises(DermsslError, match=r"images.npy was cut to 5,000 bytes"):
        cache.select(np.arange(3))


def test_leftovers_of_killed_commands_go(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    prepare(folder, tmp_path / "out", size=8, progress=False)
    (tmp_path / "out" / "unfinished").mkdir()
    (tmp_path / "out" / "unfinished" / "journal").write_text("x")
    prepare(folder, tmp_path / "out", size=8, progress=False)
    assert not (tmp_path / "out" / "unfinished").exists()
    code = "import os, sys; from pathlib import Path; from dermssl.files import replaced_file\n"
    code += "with replaced_file(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"], check=False)
    assert len(list(tmp_path.glob(".a.txt.*.part"))) == 1
    write_text(tmp_path / "a.txt", "x")
    assert not list(tmp_path.glob(".a.txt.*.part"))


@pytest.mark.parametrize("output", ["x" * 300, "a\0b", "loop"])
def test_outputs_with_impossible_names(tmp_path, output):
    folder = write_images(tmp_path / "images", 2)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DermsslError, match="--output"):
        prepare(folder, tmp_path / output, size=8, progress=False)


@pytest.mark.parametrize(
    ("mode", "format", "size"),
    [
        ("RGBA", "PNG", (6000, 5000)),
        ("RGBA", "PNG", (10_000_000, 3)),
        *(pytest.param(mode, "PNG", (6000, 5000), marks=pytest.mark.slow) for mode in ("I;16", "LA")),
    ],
)
def test_large_images_take_a_bounded_memory(tmp_path, mode, format, size):
    Image.new(mode, size).save(tmp_path / "large", format, compress_level=1)
    code = (
        "import resource, sys; from dermssl.data.decode import decode, read_bytes\n"
        "decode(read_bytes(sys.argv[2]), 64)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "decode(read_bytes(sys.argv[1]), 64)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 30e6)"
    )
    Image.new(mode, (60, 50)).save(tmp_path / "small", format)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "large", tmp_path / "small"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 12, "bytes for each pixel"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_an_allowance_is_never_overdrawn_and_lets_the_largest_alone():
    lent = allowance.Allowance(100)
    with lent.borrow(60), lent.borrow(40):
        assert lent._used == 100
    with lent.borrow(1000):
        assert lent._used == 100
    assert lent._used == 0


def test_an_old_manifest_is_refused_with_what_it_is(tmp_path):
    folder = write_images(tmp_path / "images", 3)
    prepare(folder, tmp_path / "out", size=8, progress=False)
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text()) | {"version": 1, "request": "other"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(DermsslError, match="made by an earlier version of dermssl"):
        prepare(folder, tmp_path / "out", size=8, progress=False)
    logging.getLogger("dermssl")
