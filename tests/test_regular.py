"""What is no regular file of a sane size is refused before anything waits for it."""

import os
import socket
import tracemalloc

import pytest

from dermssl.regular import NotRegular, open_own, open_regular, read_regular


@pytest.fixture
def special(tmp_path, monkeypatch):
    """Name -> a path that is no file."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("fifo")
    os.mkdir("folder")
    os.symlink("/dev/zero", "zero")
    os.symlink("fifo", "link-to-fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fifo", "is a FIFO"),
        ("link-to-fifo", "is a FIFO"),
        ("folder", "is a folder"),
        ("zero", "is a device"),
        ("socket", "is a socket"),
    ],
)
def test_special_files_are_not_opened(special, name, reason):
    with pytest.raises(NotRegular, match=reason):
        open_regular(special / name)
    with pytest.raises(NotRegular, match=reason):
        read_regular(special / name, 100)


def test_a_file_is_read_up_to_a_size(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(NotRegular, match="is larger than"):
        read_regular(tmp_path / "a", 4)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(40 * 2**30)
    with pytest.raises(NotRegular, match="is larger than 64 MiB"):
        open_regular(tmp_path / "sparse", 64 * 2**20)


def test_links_are_followed_only_where_they_may(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link", 9) == b"x"
    with pytest.raises(NotRegular, match="is a link"):
        open_regular(tmp_path / "link", follow=False)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "loop")


@pytest.mark.parametrize("name", ["fifo", "link-to-fifo", "folder", "zero", "socket", "link-to-nothing"])
def test_files_of_ours_are_not_written_elsewhere(special, name):
    os.symlink("nothing", "link-to-nothing")
    with pytest.raises(OSError):  # noqa: PT011 - a folder is refused by the system, the others by us
        open_own(special / name, os.O_RDWR | os.O_CREAT)
    assert not (special / "nothing").exists()


def test_a_file_of_ours_is_made_and_not_truncated(tmp_path):
    os.close(open_own(tmp_path / "a", os.O_RDWR | os.O_CREAT))
    (tmp_path / "a").write_bytes(b"kept")
    os.close(open_own(tmp_path / "a", os.O_RDWR | os.O_CREAT))
    assert (tmp_path / "a").read_bytes() == b"kept"


def test_a_file_takes_the_memory_of_its_own_size(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    tracemalloc.start()
    assert read_regular(tmp_path / "a", 2**30) == b"abc"
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no file here that does not tell its size")
def test_a_file_that_does_not_tell_its_size_is_read_whole():
    assert read_regular("/proc/self/status", 10**6).endswith(b"\n")
    with pytest.raises(NotRegular, match="larger"):
        read_regular("/proc/self/status", 100)
