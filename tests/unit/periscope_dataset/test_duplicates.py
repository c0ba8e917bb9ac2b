"""Near duplicates are those that comparing everything with everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from periscope_dataset import duplicates
from periscope_dataset.duplicates import MAX_DISTANCE, Hashes, near_matches, near_within

HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12)


def flipped(value: int, bits: list[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


def as_hashes(values: list[int]) -> Hashes:
    return np.array(values, np.uint64)


@given(HASHES, st.lists(st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=7)), max_size=12))
def test_all_that_are_near_are_found_and_no_other(
    those: list[int], changes: list[tuple[int, list[int]]]
) -> None:
    these = [flipped(those[place % len(those)], bits) for place, bits in changes]

    found = near_matches(as_hashes(these), as_hashes(those))

    distances = [[(this ^ that).bit_count() for that in those] for this in these]
    assert set(found) == {place for place, row in enumerate(distances) if min(row) <= MAX_DISTANCE}
    for this, that in found.items():
        assert distances[this][that] == min(distances[this])
        assert that == distances[this].index(min(distances[this]))


@given(HASHES, st.lists(st.integers(0, 63), max_size=6))
def test_within_one_set_nothing_is_near_itself_alone(values: list[int], bits: list[int]) -> None:
    values = [*values, flipped(values[0], bits)]

    found = near_within(as_hashes(values))

    for place, value in enumerate(values):
        others = [(value ^ other).bit_count() for number, other in enumerate(values) if number != place]
        assert (place in found) == (min(others) <= MAX_DISTANCE)
        assert found.get(place) != place


@pytest.mark.parametrize("kept", range(5))
def test_each_band_finds_what_no_other_does(kept: int) -> None:
    elsewhere = [13 * number for number in range(5) if number != kept]
    value = 0x0123_4567_89AB_CDEF

    assert near_matches(as_hashes([flipped(value, elsewhere)]), as_hashes([value])) == {0: 0}


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(1).integers(0, 2**16, 500, np.uint64)
    whole = near_within(drawn)
    monkeypatch.setattr(duplicates, "BLOCK", 7)

    assert near_within(drawn) == whole
    assert len(whole) > 100


def test_nothing_is_near_nothing() -> None:
    assert near_matches(as_hashes([]), as_hashes([1])) == near_matches(as_hashes([1]), as_hashes([])) == {}
