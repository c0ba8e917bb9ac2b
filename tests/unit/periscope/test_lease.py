"""A lease has one holder."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from periscope.documents import Documents
from periscope.lease import Lease
from periscope.store import StoreUnavailable
from tests.unit.periscope.troubled_stores import LosesAnswers, LosesRequests


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


def test_a_lease_has_one_holder_until_it_expires(documents: Documents) -> None:
    clock = Clock()
    mine = Lease(documents, "leader", "me", 10, clock)
    yours = Lease(documents, "leader", "you", 10, clock)

    assert mine.acquire()
    assert mine.acquire()
    assert not yours.acquire()
    clock.moment += timedelta(seconds=11)
    assert yours.acquire()
    assert not mine.acquire()


def test_a_released_lease_is_free_at_once(documents: Documents) -> None:
    mine, yours = Lease(documents, "leader", "me", 10), Lease(documents, "leader", "you", 10)
    mine.acquire()
    yours.release()
    assert not yours.acquire()
    mine.release()

    assert yours.acquire()


def test_of_many_that_want_a_lease_one_gets_it(documents: Documents) -> None:
    barrier = threading.Barrier(6)

    def acquire(number: int) -> bool:
        lease = Lease(documents, "leader", str(number), 10)
        barrier.wait()
        return lease.acquire()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(acquire, range(6))) == 1


def test_a_lease_whose_answer_is_lost_is_held_all_the_same() -> None:
    store = LosesAnswers()
    lease = Lease(Documents(store), "leader", "me", 10)
    store.lose_next = True
    assert lease.acquire()
    store.lose_next = True
    assert lease.acquire()


def test_a_renewal_in_doubt_is_no_lease() -> None:
    store = LosesRequests()
    lease = Lease(Documents(store), "leader", "me", 10)
    lease.acquire()
    store.lose_next = True

    with pytest.raises(StoreUnavailable):
        lease.acquire()
