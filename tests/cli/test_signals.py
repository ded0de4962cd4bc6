"""A signal ends every command with 128 + its number, one line and no traceback."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dermssl.cli import COMMANDS

# any command: it is stopped inside its call, wherever that is
CODE = (
    "import click, sys, time; from types import SimpleNamespace; from dermssl import cli\n"
    "def callback():\n"
    "    try:\n"
    "        print('begun', file=sys.stderr, flush=True)\n"
    "        time.sleep(60)\n"
    "    finally:\n"
    "        print('cleaned', file=sys.stderr, flush=True)\n"
    "sys.modules['wait'] = SimpleNamespace(command=click.Command('wait', callback=callback, params=[]))\n"
    "cli.COMMANDS['wait'] = 'wait'; sys.argv = ['dermssl', 'wait']; cli.main()"
)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_by_its_number(number, status):
    process = subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == status
    assert told == f"cleaned\nStopped by {number.name}.\n"


def test_an_error_that_a_signal_led_to_is_no_error():
    """C code that a signal's exception passes through may raise another one: safetensors does."""
    code = CODE.replace(
        "time.sleep(60)\n", "time.sleep(60)\n    except BaseException:\n        raise TypeError from None\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 143
    assert told == "cleaned\nStopped by SIGTERM.\n"


def test_the_same_signal_again_does_not_cut_the_cleaning_short():
    code = CODE.replace("print('cleaned'", "time.sleep(0.5); print('cleaned'")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.15)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told == "cleaned\nStopped by SIGINT.\n"


def test_an_ignored_signal_stays_ignored():
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_every_command_takes_quiet_and_verbose():
    from dermssl.cli import group

    for name in COMMANDS:
        command = group.get_command(None, name)
        assert {"-q", "-v"} <= {word for parameter in command.params for word in parameter.opts}
