"""Which boxes keep a cell of the coverage grid, for all pictures of a data set at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from detectnet.coverage import (
    DEFAULT_OPTIONS,
    SMALLEST,
    GroundTruthOptions,
    cells_owned,
    covered_rectangles,
)
from detectnet.sizes import require_grid_size

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_COMPARED = 64
"""Boxes of one picture that are compared in pairs; with more, the picture's grid is written."""
PICTURES_BETWEEN_REPORTS = 200


def without_cell(
    pictures: Indices,
    boxes_xyxy: npt.NDArray[np.float32],
    width: int,
    height: int,
    options: GroundTruthOptions = DEFAULT_OPTIONS,
    went_on: Callable[[], None] = lambda: None,
) -> Mask:
    """The boxes [n,4] for which ``cells_owned`` of their picture says 0: [n].

    ``pictures`` [n] ascends, boxes of one picture stand in writing order. The grid is written only for
    pictures in which two boxes may want one cell: elsewhere all that reach into the grid keep some.
    ``went_on`` is called now and then. Raises IllegalSize.
    """
    require_grid_size(width, height, options.stride)
    first, last, solid = covered_rectangles(boxes_xyxy, options)
    first, last = np.maximum(first, 0), np.minimum(last, (width, height))
    reaches = solid & (last > first).all(axis=1)
    # Of an interval, one cell holds half at least, or half of itself.
    share = (np.minimum(last - first, options.stride) / 2).prod(axis=1) / options.stride**2
    unsure = reaches & (share <= 2 * SMALLEST)
    unsure |= _crowded(pictures, MAX_COMPARED)
    candidates = np.flatnonzero(reaches)
    begin = np.floor(first[candidates] / options.stride)
    end = np.ceil(last[candidates] / options.stride)
    for one, other in pairs_within(pictures[candidates], MAX_COMPARED):
        meet = (begin[one] < end[other]).all(axis=1) & (begin[other] < end[one]).all(axis=1)
        unsure[candidates[one[meet]]] = True
    lost: Mask = ~reaches
    starts = np.flatnonzero(np.diff(pictures, prepend=-1))
    ends = np.append(starts[1:], len(pictures))
    written = np.logical_or.reduceat(unsure, starts) if len(starts) else np.zeros(0, np.bool_)
    for number, place in enumerate(np.flatnonzero(written)):
        if number % PICTURES_BETWEEN_REPORTS == 0:
            went_on()
        rows = slice(starts[place], ends[place])
        lost[rows] = cells_owned(boxes_xyxy[rows], width, height, options) == 0
    return lost


def pairs_within(groups: Indices, most: int) -> Iterator[tuple[Indices, Indices]]:
    """All pairs of places in one group, earlier and later, in batches; of groups beyond ``most``, none.

    ``groups`` [n] ascends.
    """
    ends = np.searchsorted(groups, groups, side="right")
    left = np.flatnonzero(~_crowded(groups, most))
    for step in range(1, most):
        left = left[left + step < ends[left]]
        if not len(left):
            return
        yield left, left + step


def _crowded(groups: Indices, most: int) -> Mask:
    """Which places belong to a group of more than so many."""
    counts = np.searchsorted(groups, groups, side="right") - np.searchsorted(groups, groups)
    return np.asarray(counts > most)
