"""Pictures that occur twice: byte for byte, or so alike that a network cannot tell them apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_DISTANCE = 4
"""Bits of 64. Two hashes no further apart agree wholly in one of five bands."""
BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
MAX_CANDIDATES = 64
"""Of one band and hash: a thousand pictures of the same thing need not all be named."""

Hashes = npt.NDArray[np.uint64]


def near_matches(these: Hashes, those: Hashes) -> dict[int, int]:
    """For each of ``these`` [n] that is within MAX_DISTANCE of some of ``those`` [m]: the nearest's place."""
    matches: dict[int, tuple[int, int]] = {}
    for shift, bits in BANDS:
        mask = np.uint64((1 << bits) - 1)
        left = (these >> np.uint64(shift)) & mask
        right = (those >> np.uint64(shift)) & mask
        order = np.argsort(right, kind="stable")
        ranked = right[order]
        begin, end = np.searchsorted(ranked, left), np.searchsorted(ranked, left, side="right")
        counts = np.minimum(end - begin, MAX_CANDIDATES)
        mine = np.repeat(np.arange(len(these)), counts)
        within = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
        theirs = order[np.repeat(begin, counts) + within]
        distances = np.bitwise_count(these[mine] ^ those[theirs])
        for place in np.flatnonzero(distances <= MAX_DISTANCE):
            candidate = (int(distances[place]), int(theirs[place]))
            this = int(mine[place])
            matches[this] = min(matches.get(this, candidate), candidate)
    return {this: match[1] for this, match in matches.items()}
