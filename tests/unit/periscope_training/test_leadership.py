from __future__ import annotations

import pytest

from periscope_training.leadership import Leadership


class Lease:
    """A lease whose answers a test decides."""

    def __init__(self) -> None:
        self.free = True
        self.asked = 0
        self.released = False

    def acquire(self) -> bool:
        self.asked += 1
        return self.free

    def release(self) -> None:
        self.released = True


class Clock:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def lease() -> Lease:
    return Lease()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leadership(lease: Lease, clock: Clock) -> Leadership:
    return Leadership(lease, 15.0, clock)


def test_nobody_leads_before_asking(leadership: Leadership) -> None:
    assert not leadership.is_held()


def test_the_lease_is_renewed_when_a_third_of_it_is_over(
    leadership: Leadership, lease: Lease, clock: Clock
) -> None:
    asked = []
    for _ in range(4):
        assert leadership.hold()
        asked.append(lease.asked)
        clock.at_s += 2.5

    assert asked == [1, 1, 2, 2]


def test_without_renewal_leadership_ends_with_the_lease(leadership: Leadership, clock: Clock) -> None:
    leadership.hold()
    clock.at_s += 14.9
    assert leadership.is_held()

    clock.at_s += 0.2
    assert not leadership.is_held()


def test_a_refused_renewal_ends_leadership_at_once(
    leadership: Leadership, lease: Lease, clock: Clock
) -> None:
    leadership.hold()
    lease.free = False
    clock.at_s += 6

    assert not leadership.hold()
    assert not leadership.is_held()


def test_releasing_gives_up_only_what_is_held(leadership: Leadership, lease: Lease) -> None:
    leadership.release()
    assert not lease.released

    leadership.hold()
    leadership.release()
    assert lease.released
    assert not leadership.is_held()
