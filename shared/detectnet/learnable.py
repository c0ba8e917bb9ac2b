"""Which input size lets the network learn: clustering drops low boxes, so they say how large."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet.clustering import DEFAULT_CLUSTERING
from detectnet.sizes import SMALLEST_CELLS, STRIDE

WANTED_SHARE = 0.95
"""Of the boxes; the last few are often mistakes of labelling."""
MOST_ENLARGED = 2.0
"""Beyond twice the pictures' size, enlarging only makes blur."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Suggestion:
    """An input size and why."""

    width: int
    height: int
    reason: str


def suggested_size(
    relative_heights: npt.NDArray[np.float64], asked: Size, picture: Size, stride: int = STRIDE
) -> Suggestion:
    """The size asked for where it is enough, else the smallest that is, in the picture's shape.

    ``relative_heights`` [n] are heights of training boxes as shares of their (padded) picture's; ``asked``
    and ``picture`` are widths and heights in pixels.
    """
    least = DEFAULT_CLUSTERING.min_height
    if not len(relative_heights):
        return Suggestion(*asked, "there is no training box to tell by")
    kept = _share(relative_heights, asked[1])
    told = f"at {asked[0]}x{asked[1]}, {kept:.0%} of the training boxes are {least} pixels high or more"
    if kept >= WANTED_SHARE:
        return Suggestion(*asked, f"{told}, which is enough")
    wanted = float(np.quantile(relative_heights, 1 - WANTED_SHARE, method="lower"))
    scale = min(least / max(wanted * picture[1], 1e-9), MOST_ENLARGED)
    found = _legal(picture[0] * scale, stride), _legal(picture[1] * scale, stride)
    if found[1] <= asked[1]:
        return Suggestion(*asked, f"{told}, and a size in the pictures' shape would keep no more")
    reached = _share(relative_heights, found[1])
    size = f"{found[0]}x{found[1]}"
    if reached >= WANTED_SHARE:
        return Suggestion(*found, f"{told}; {size} is the smallest size that keeps {WANTED_SHARE:.0%}")
    return Suggestion(*found, f"{told}; {size} keeps {reached:.0%}, and is as large as makes sense")


def _share(relative_heights: npt.NDArray[np.float64], height: int) -> float:
    return float(np.mean(relative_heights * height >= DEFAULT_CLUSTERING.min_height))


def _legal(side: float, stride: int) -> int:
    # The sum of roundings must not make 480 a 496.
    return max(math.ceil(side / stride - 1e-6), SMALLEST_CELLS) * stride
