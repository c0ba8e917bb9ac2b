from __future__ import annotations

import threading
import time

import pytest

from periscope.web.long_poll import LongPolls, TooManyWaiting


def test_what_is_done_is_answered_at_once() -> None:
    assert LongPolls().wait(lambda: 7, lambda _: True, 60) == 7


def test_without_a_wait_nothing_is_held_back() -> None:
    assert LongPolls(limit=1).wait(lambda: 7, lambda _: False, 0) == 7


def test_the_answer_comes_when_it_is_done() -> None:
    values = iter([1, 2, 3])

    assert LongPolls().wait(lambda: next(values), lambda value: value == 2, 60) == 2


def test_after_the_wait_the_newest_state_is_the_answer() -> None:
    values = iter(range(100))

    assert LongPolls().wait(lambda: next(values), lambda _: False, 0.01) == 1


@pytest.mark.slow
def test_at_most_half_the_threads_wait() -> None:
    polls, done = LongPolls(limit=1), threading.Event()
    waiting = threading.Thread(target=polls.wait, args=(lambda: None, lambda _: done.is_set(), 20))
    waiting.start()
    while True:
        try:
            polls.wait(lambda: None, lambda _: False, 0.001)
        except TooManyWaiting:
            break
        time.sleep(0.001)
    done.set()
    waiting.join()

    with pytest.raises(StopIteration):
        polls.wait(iter([1]).__next__, lambda _: False, 20)
    assert polls.wait(lambda: 5, lambda _: False, 0.001) == 5, "an error gives the place back"
