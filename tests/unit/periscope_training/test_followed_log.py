"""A followed log: every attempt's words once, and no part of it read again at each look."""

from __future__ import annotations

import pytest

from periscope import keys
from periscope_training.followed_log import FollowedLog
from tests.unit.periscope_training.house import House


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def job_id(house: House) -> str:
    job_id = house.add_job()
    house.loop()
    return job_id


def follow(house: House, job_id: str, attempt: int | None = None, offset: int = 0) -> FollowedLog:
    return FollowedLog(house.store, house.launcher, job_id, attempt, offset)


def news(house: House, followed: FollowedLog, job_id: str) -> bytes:
    return b"".join(followed.more(house.job(job_id)))


def fail_and_try_again(house: House, log: bytes) -> None:
    house.launcher.end(1, log=log)
    house.loop()
    house.clock.advance(60)
    house.loop()


def test_the_next_attempt_is_followed_when_the_last_words_of_the_first_are_told(
    house: House, job_id: str
) -> None:
    followed = follow(house, job_id)
    assert news(house, followed, job_id) == b"running\n"
    fail_and_try_again(house, b"boom\n")
    house.launcher.only_run().log += b"going on\n"

    assert news(house, followed, job_id) == b"boom\nrunning\ngoing on\n"
    assert news(house, followed, job_id) == b""


def test_attempts_that_came_and_went_between_two_looks_are_told_too(house: House, job_id: str) -> None:
    followed = follow(house, job_id)
    news(house, followed, job_id)
    fail_and_try_again(house, b"first\n")
    fail_and_try_again(house, b"second\n")

    assert news(house, followed, job_id) == b"first\nrunning\nsecond\nrunning\n"


def test_one_attempt_alone_is_followed_where_it_is_named(house: House, job_id: str) -> None:
    followed = follow(house, job_id, attempt=1, offset=3)
    assert news(house, followed, job_id) == b"ning\n"
    fail_and_try_again(house, b"boom\n")

    assert news(house, followed, job_id) == b"boom\n"
    assert news(house, followed, job_id) == b""


def test_what_is_left_out_at_the_beginning_may_be_longer_than_what_is_there(
    house: House, job_id: str
) -> None:
    followed = follow(house, job_id, offset=10)
    assert news(house, followed, job_id) == b""
    house.launcher.only_run().log += b"abcd\n"

    assert news(house, followed, job_id) == b"cd\n"


def test_an_archived_log_is_read_by_parts_and_once(house: House, job_id: str) -> None:
    fail_and_try_again(house, b"x" * (3 << 20))
    followed = follow(house, job_id, attempt=1, offset=8)
    house.store.calls.clear()

    parts = [len(part) for part in followed.more(house.job(job_id))]
    assert parts == [1 << 20] * 3
    read = dict(house.store.calls)
    assert news(house, followed, job_id) == b""
    # The job document, which the test reads, and nothing else.
    assert house.store.calls == read | {"get": read["get"] + 1}


def test_a_job_that_was_never_started_has_nothing_to_tell(house: House) -> None:
    job_id = house.add_job()
    assert news(house, follow(house, job_id), job_id) == b""
    house.cancel(job_id)
    house.loop()

    assert news(house, follow(house, job_id), job_id) == b""
    assert house.store.head(keys.attempt_log(job_id, 1)) is None
