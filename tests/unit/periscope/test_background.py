"""A worker goes on, whatever a step does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from periscope import background
from periscope.background import Worker

SOON_S = 5.0


def test_steps_follow_each_other() -> None:
    done = threading.Semaphore(0)
    worker = Worker("w", counting(done, 0.0))
    worker.start()

    assert all(done.acquire(timeout=SOON_S) for _ in range(3))
    worker.stop()


def test_a_resting_worker_can_be_woken() -> None:
    done = threading.Semaphore(0)
    worker = Worker("w", counting(done, 3600.0))
    worker.start()
    assert done.acquire(timeout=SOON_S)
    worker.wake()

    assert done.acquire(timeout=SOON_S)
    assert not done.acquire(timeout=0.05)
    worker.stop()


def test_a_call_during_a_step_is_not_forgotten() -> None:
    begun, may_end, done = threading.Event(), threading.Event(), threading.Semaphore(0)

    def step() -> float:
        begun.set()
        may_end.wait(SOON_S)
        done.release()
        return 3600.0

    worker = Worker("w", step)
    worker.start()
    assert begun.wait(SOON_S)
    worker.wake()
    may_end.set()

    assert done.acquire(timeout=SOON_S)
    assert done.acquire(timeout=SOON_S)
    worker.stop()


def test_a_failing_step_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_BACKOFF_S", 0.01)
    done = threading.Semaphore(0)

    def step() -> float:
        done.release()
        raise OSError("the store is away")

    worker = Worker("w", step)
    worker.start()

    assert all(done.acquire(timeout=SOON_S) for _ in range(3))
    worker.stop()


def test_a_stopped_worker_takes_no_further_step() -> None:
    done = threading.Semaphore(0)
    worker = Worker("w", counting(done, 3600.0))
    worker.start()
    done.acquire(timeout=SOON_S)
    worker.stop()
    worker.wake()

    assert not done.acquire(timeout=0.05)


def test_a_worker_that_never_started_can_be_stopped() -> None:
    Worker("w", lambda: 1.0).stop()


def counting(done: threading.Semaphore, rest_s: float) -> Callable[[], float]:
    def step() -> float:
        done.release()
        return rest_s

    return step
