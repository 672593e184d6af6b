import signal
import threading

import pytest

from ast2hf.cli import signals
from ast2hf.signals import held


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_held_signal_takes_effect_at_the_end(number, error):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals.raise_exceptions()
    done = []
    with pytest.raises(error), held():
        signal.raise_signal(number)
        done.append("the rest")
    assert done == ["the rest"]
    with pytest.raises(error):
        signal.raise_signal(number)


def test_in_another_thread_nothing_is_held_and_nothing_fails():
    done = []

    def work():
        with held():
            done.append("work")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["work"]


def test_signals_ignored_by_the_shell_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.raise_exceptions()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signals.end_at_once()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
