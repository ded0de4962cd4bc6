"""Locks: one holder at a time, released by a kill; no file of others is written or reached through a link."""

import os
import platform
import signal
import subprocess
import sys
import threading

import pytest

from dermssl.locks import Held, locked
from dermssl.regular import NotRegular

HOLD = "import sys, time; from pathlib import Path; from dermssl.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"


def test_who_has_it_is_said_and_a_kill_frees_it(tmp_path):
    lock = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Held, match=r"process .*, since \d{4}-\d\d-\d\d \d\d:"), locked(lock):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        with locked(lock, waiting=lambda held: None):
            pass


def test_a_machine_is_named_only_where_it_is_another_one(tmp_path, monkeypatch):
    lock, here = tmp_path / ".lock", platform.node()
    with locked(lock):
        assert here in lock.read_text()
        with pytest.raises(Held) as caught, locked(lock):
            pass
        assert here not in str(caught.value)
        lock.write_text("dermssl lock, held by process 12 of gpu-7.cluster\n")  # as over a network drive
        with pytest.raises(Held, match=r"^process 12 of gpu-7\.cluster, since "), locked(lock):
            pass
        assert lock.read_text()
        lock.write_text("dermssl lock, held by process 12 of \x1b[31m\n")  # by a hostile hand
        with pytest.raises(Held, match=r"^(another )?process[ \d]*, since "), locked(lock):
            pass
    lock.write_text("dermssl lock, held by process 12 of gpu-7\n")  # left by a kill
    with locked(lock):
        assert "gpu-7" not in lock.read_text()
    assert lock.read_text() == ""


def test_threads_wait_for_each_other(tmp_path):
    inside, most = [], []

    def work() -> None:
        with locked(tmp_path / ".lock", waiting=lambda held: None):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_the_file_is_neither_truncated_nor_followed(tmp_path):
    (tmp_path / "key").write_text("private")
    with locked(tmp_path / "key"):
        pass
    assert (tmp_path / "key").read_text() == "private"
    (tmp_path / "other").write_bytes(b"")
    os.link(tmp_path / "other", tmp_path / "hard")
    with locked(tmp_path / "hard"):
        assert (tmp_path / "other").read_bytes() == b""
    (tmp_path / "link").symlink_to("key")
    (tmp_path / "new").symlink_to("nothing")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "new", "fifo"):
        with pytest.raises(NotRegular, match="is a"), locked(tmp_path / name):
            pass
    assert not (tmp_path / "nothing").exists()
