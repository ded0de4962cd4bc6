"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import pytest

# One thread per process, read when torch is imported: tiny networks gain nothing by more, which would only wait for one
# another where tests run side by side; and the last digits do not depend on the machine.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture(scope="session", autouse=True)
def private_caches(tmp_path_factory):
    """Keep the user's caches out of the tests, and the tests out of the user's caches."""
    saved = {name: os.environ.get(name) for name in ("DERMSSL_CACHE", "HF_HOME")}
    for name in saved:
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    yield
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session", autouse=True)
def signals_are_heeded():
    """Heed signals that the shell had ignored, as it does in jobs in the background; processes of tests inherit it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def signals_as_before():
    """Take back the handlers that the command line sets for its process, where a test runs it in this one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real dermoscopy images (see shared/data/README.md), or a skip that says so."""
    candidates = [os.environ.get("DERMSSL_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for folder in filter(None, candidates):
        if (Path(folder) / "HAM10000_metadata_full.csv").exists():
            return Path(folder)
    pytest.skip("the real images are at neither $DERMSSL_DATA nor ../shared/data")
