"""Pictures that occur twice: byte for byte, or so alike that a network cannot tell them apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_DISTANCE = 4
"""Bits of 64. Two hashes no further apart agree wholly in one of five bands."""
BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
MAX_CANDIDATES = 512
"""Of one band and hash: a thousand pictures of the same thing need not all be compared."""
BLOCK = 2048
"""Hashes that are looked up together; bounds the memory, which is about 40 bytes a candidate."""

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
_NONE = np.iinfo(np.int64).max
_PLACE_BITS = 40


def near_matches(these: Hashes, those: Hashes) -> dict[int, int]:
    """For each of ``these`` [n] that is within MAX_DISTANCE of some of ``those`` [m]: the nearest's place."""
    return _matches(these, those, but_itself=False)


def near_within(these: Hashes) -> dict[int, int]:
    """For each of ``these`` [n] that is within MAX_DISTANCE of another of them: the nearest's place."""
    return _matches(these, these, but_itself=True)


def _matches(these: Hashes, those: Hashes, *, but_itself: bool) -> dict[int, int]:
    # Distance above place in one number, so that the least is the nearest, and of those the first.
    best = np.full(len(these), _NONE, np.int64)
    for shift, bits in BANDS:
        left, right = _band(these, shift, bits), _band(those, shift, bits)
        order = np.argsort(right, kind="stable")
        begin = np.searchsorted(right[order], left)
        end = np.searchsorted(right[order], left, side="right")
        for start in range(0, len(these), BLOCK):
            mine, theirs = _candidates(order, begin[start : start + BLOCK], end[start : start + BLOCK])
            mine += start
            distances = np.bitwise_count(these[mine] ^ those[theirs]).astype(np.int64)
            near = distances <= MAX_DISTANCE
            if but_itself:
                near &= mine != theirs
            np.minimum.at(best, mine[near], distances[near] << _PLACE_BITS | theirs[near])
    found = np.flatnonzero(best != _NONE)
    places = best[found] & ((1 << _PLACE_BITS) - 1)
    return dict(zip(found.tolist(), places.tolist(), strict=True))


def _band(hashes: Hashes, shift: int, bits: int) -> Hashes:
    return (hashes >> np.uint64(shift)) & np.uint64((1 << bits) - 1)


def _candidates(order: Places, begin: Places, end: Places) -> tuple[Places, Places]:
    """Pairs of places: each hash with those of its bucket, which lie in ``order`` from begin to end."""
    counts = np.minimum(end - begin, MAX_CANDIDATES)
    mine = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
    return mine, order[np.repeat(begin, counts) + within]
