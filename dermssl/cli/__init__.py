"""The command line. A command is one module of this package; it is imported only when it is run or listed."""

import importlib
import os
import signal
import sys
import time
import traceback
from types import FrameType

import click

from dermssl import __version__
from dermssl.cli.logs import reset_verbosity, verbose, with_verbosity
from dermssl.documents import unreadable
from dermssl.errors import DermsslError, SaidElsewhere
from dermssl.malloc import is_out_of_memory, keep_freed_memory
from dermssl.pretraining.signals import SAME_REQUEST
from dermssl.privacy import masked
from dermssl.terminal import coloured, is_terminal, lost, on_one_line, safe_streams, tell, visible

# command name -> module; each module holds a click command called ``command``
COMMANDS = {
    "demo": "dermssl.cli.demo",
    "prepare": "dermssl.cli.prepare",
    "pretrain": "dermssl.cli.pretrain",
    "eval-knn": "dermssl.cli.eval_knn",
    "finetune": "dermssl.cli.finetune",
    "fewshot": "dermssl.cli.fewshot",
    "reproduce": "dermssl.cli.reproduce",
    "cam": "dermssl.cli.cam",
    "project": "dermssl.cli.project",
    "leakage": "dermssl.cli.leakage",
    "embed": "dermssl.cli.embed",
    "compare": "dermssl.cli.compare",
    "export": "dermssl.cli.export",
    "push": "dermssl.cli.push",
    "info": "dermssl.cli.info",
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return with_verbosity(importlib.import_module(COMMANDS[name]).command) if name in COMMANDS else None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version")
def group() -> None:
    """Pretrain timm backbones on unlabelled dermoscopy images, evaluate them, publish them."""


class _Stopped(BaseException):
    """A signal that asks the process to end came; open files are closed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)


_stopped: tuple[_Stopped, float] | None = None  # the first signal, and when it came


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped
    if _stopped is None:
        _stopped = _Stopped(number), time.monotonic()
        raise _stopped[0]
    if time.monotonic() - _stopped[1] > SAME_REQUEST:  # a later one ends it at once
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def main() -> None:
    """Run the command line of this process.

    Exit status: 0; 1 for an error, reported in one line; 2 for a wrong command line; 3 for pairs that ``leakage``
    found; 128 + the number of the signal that ended it (130 for Ctrl-C, 143 for SIGTERM).
    """
    global _stopped
    keep_freed_memory()
    reset_verbosity()
    if not is_terminal():  # read when huggingface_hub is imported; its bars would fill a log with carriage returns
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _stopped = None
    # one that was ignored stays so: nohup ignores SIGHUP, a shell SIGINT for jobs in the background
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    with safe_streams():
        status = _run()
        why = lost()
        if why is not None:
            status = status or 1
            tell(_error(f"standard output cannot be written: {why}"))
    sys.exit(status)


def _run() -> int:
    """Run the command, tell its error, and return its exit status."""
    try:
        try:
            status = group.main(prog_name="dermssl", standalone_mode=False)
        except Exception:
            if _stopped is None:
                raise
            # a library that the signal's exception came through raised one of its own instead
            raise _stopped[0] from None
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        vars(error)["message"] = on_one_line(error.message)
        error.show()
        return error.exit_code
    except SaidElsewhere:
        return 1
    except DermsslError as error:
        _tell_way()
        tell(_error(str(error)))
        return error.exit_status
    except _Stopped as stopped:
        tell(f"Stopped by {stopped.number.name}.")
        return 128 + stopped.number
    except (KeyboardInterrupt, click.Abort):
        tell("Stopped by SIGINT.")
        return 130
    except (OSError, MemoryError, RuntimeError) as error:  # what no room has said in words of its own
        if is_out_of_memory(error):
            text = "out of memory; lower --image-size, --batch-size or --workers, or close other programs"
        elif isinstance(error, OSError):
            text = str(unreadable(error.filename or "dermssl", error, "--verbose tells where"))
        else:
            raise
        _tell_way()
        tell(_error(text))
        return 1


def _tell_way() -> None:
    """With --verbose: where the error that is handled came from, without what the Hub's library says of tokens."""
    if verbose():
        tell(visible(masked(traceback.format_exc(), os.environ.get("HF_TOKEN"))))


def _error(text: str) -> str:
    return f"{coloured('Error:', 31)} {on_one_line(text)}"
