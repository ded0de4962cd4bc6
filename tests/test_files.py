"""Files are whole or not there."""

import errno

import pytest

from dermssl import DermsslError
from dermssl.files import replaced_file, write_text


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
