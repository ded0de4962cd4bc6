"""SIGINT, SIGTERM and SIGHUP: one request, however often they come within a second."""

import os
import signal
import time

import pytest

from dermssl.pretraining import signals
from dermssl.pretraining.signals import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_in_quick_succession_are_one_request(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        for _ in range(3):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received is number
    assert signal.getsignal(number) is before


def test_a_later_one_acts_as_it_always_does(monkeypatch):
    monkeypatch.setattr(signals, "SAME_REQUEST", 0.0)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received is signal.SIGINT
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
