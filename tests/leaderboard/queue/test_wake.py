"""Wake-up calls: how many are left to deliver, where no thread delivers them."""

from __future__ import annotations

import threading

import pytest

from leaderboard.queue import wake


def test_calls_are_counted_up_to_as_many_as_could_be_needed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ends(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", ends)
    caller = wake._Caller()
    caller.wake("score", 1)
    assert caller.waiting == {"score": 1}
    caller.wake("score", 2)
    caller.wake("baseline", 1)
    assert caller.waiting == {"score": 3, "baseline": 1}
    caller.wake("score", 1000)
    assert caller.waiting == {"score": wake.MOST_WAITING, "baseline": 1}
    assert caller.thread is None
    assert caplog.text.count("no thread to wake the workers with (can't start new thread)") == 4
    assert not caller.flush(0)


def test_flush_waits_for_a_thread_that_delivers_and_for_no_other() -> None:
    caller, over = wake._Caller(), threading.Event()
    caller.waiting = {"score": 1}

    def deliver() -> None:
        over.wait(20)
        with caller.changed:
            caller.waiting = {}
            caller.changed.notify_all()

    caller.thread = threading.Thread(target=deliver, daemon=True)
    assert not caller.flush(20)  # it has not been started
    caller.thread.start()
    threading.Timer(0.2, over.set).start()
    assert caller.flush(20)
    caller.thread.join()
    caller.waiting = {"score": 1}
    assert not caller.flush(20)  # it has ended
