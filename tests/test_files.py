"""Files are whole or not there."""

import errno
import os
import platform
from pathlib import Path

import pytest

from dermssl import DermsslError
from dermssl.files import (
    append_text,
    new_folder,
    own_folder,
    refuse_unwritable,
    refuse_unwritable_folder,
    replaced_file,
    size_in_words,
    write_text,
)


def fail_while_writing(path, error: Exception) -> None:
    with replaced_file(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="stop"):
        fail_while_writing(path, ValueError("stop"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_one_clear_error(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(DermsslError, match=r"cannot write .*a\.txt: No space left"):
        fail_while_writing(path, OSError(errno.ENOSPC, "No space left on device"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_path_where_no_file_can_be_is_refused_early(tmp_path):
    (tmp_path / "file").write_text("")
    refuse_unwritable(tmp_path / "file", "--page")
    refuse_unwritable(tmp_path / "new" / "folder" / "a.csv", "--page")
    with pytest.raises(DermsslError, match=r"--page .*: is a folder; name a file in it"):
        refuse_unwritable(tmp_path, "--page")
    with pytest.raises(DermsslError, match=r"--page .*a.csv: .*file is not a folder that can be written"):
        refuse_unwritable(tmp_path / "file" / "a.csv", "--page")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_device_is_replaced_by_a_file(tmp_path):
    """As root, a table "written" to /dev/null or /dev/stdout would take its place for everybody."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("fifo", "null"):
        with pytest.raises(DermsslError, match=rf"cannot write .*{name}: is a .*, not a file; it must be a file"):
            write_text(tmp_path / name, "text")
        with pytest.raises(DermsslError, match=rf"--page .*{name}: is a .*, not a file; name a file"):
            refuse_unwritable(tmp_path / name, "--page")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "null"]
    assert (tmp_path / "null").is_symlink()


def test_a_path_where_no_folder_can_be_is_refused_early(tmp_path):
    (tmp_path / "file").write_text("")
    refuse_unwritable_folder(tmp_path, "--output")
    refuse_unwritable_folder(tmp_path / "new" / "folder", "--output")
    with pytest.raises(DermsslError, match=r"--output .*file: is a file; name a folder"):
        refuse_unwritable_folder(tmp_path / "file", "--output")
    with pytest.raises(DermsslError, match=r"--output .*x: .*file is not a folder that can be written"):
        refuse_unwritable_folder(tmp_path / "file" / "x", "--output")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(DermsslError, match=r"--output .*link: is a broken link"):
        refuse_unwritable_folder(tmp_path / "link", "--output")
    (tmp_path / "link").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_early(tmp_path):
    tmp_path.chmod(0o500)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(DermsslError, match="is not a folder that can be written"):
            refuse_unwritable_folder(folder, "--output")


def test_a_link_is_replaced_or_refused_but_never_followed(tmp_path):
    (tmp_path / "private").write_text("key")
    for name in ("a.txt", "log.txt", "folder"):
        (tmp_path / name).symlink_to("private")
    (tmp_path / f".a.txt.{os.getpid()}.part").symlink_to("private")
    write_text(tmp_path / "a.txt", "new")
    assert not (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "new"
    with pytest.raises(DermsslError, match=r"log.txt: is a link"):
        append_text(tmp_path / "log.txt", "line")
    with pytest.raises(DermsslError, match=r"folder"):
        own_folder(tmp_path / "folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "backbone").symlink_to("elsewhere")
    with pytest.raises(DermsslError, match=r"backbone is a link"):
        own_folder(tmp_path / "backbone")
    assert (tmp_path / "private").read_text() == "key"


def test_a_full_disk_says_what_is_needed(tmp_path):
    with (
        pytest.raises(DermsslError, match=r"No space left on device \(it takes 5.0 kB, and [\d,.]+ \wB are free\)"),
        replaced_file(tmp_path / "a.txt", 5000),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DermsslError, match="cannot write /dev/full"):
        append_text(Path("/dev/full"), "x")


def test_sizes_are_said_in_two_digits_or_more():
    sizes = (0, 1, 999, 1000, 9949, 9951, 999_499, 999_500, 12_345_678, 999_600_000, 1_234 * 10**9)
    assert [size_in_words(size) for size in sizes] == [
        "0 bytes", "1 byte", "999 bytes", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "12 MB", "1.0 GB",
        "1,234 GB",
    ]  # fmt: skip


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    killed = tmp_path / f".model.{platform.node()}.{2**22 + 1}.part"  # above the largest number of a process
    (killed / "deep").mkdir(parents=True)
    with new_folder(tmp_path / "model") as draft:
        (draft / "a").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def fail() -> None:
        with new_folder(tmp_path / "other", 9) as draft:
            (draft / "half").write_text("1")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DermsslError, match=r"cannot write .*other: No space left"):
        fail()
    with pytest.raises(DermsslError, match=r"cannot write .*model: "), new_folder(tmp_path / "model") as draft:
        (draft / "a").write_text("2")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "a").read_text() == "1"
