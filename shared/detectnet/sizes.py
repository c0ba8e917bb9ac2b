"""Network input sizes. DetectNet halves its input four times, so both sides must be multiples of 16."""

from __future__ import annotations

STRIDE = 16
SMALLEST_CELLS = 2
"""Cells a side; with one, the third pooling's window is larger than its input, which OpenCV cannot run."""


class IllegalSize(ValueError):
    """An input size that the network cannot take; the text names the nearest ones that it can."""


def grid_shape(width: int, height: int, stride: int = STRIDE) -> tuple[int, int]:
    """Rows and columns of the coverage grid: (GH, GW). Raises IllegalSize."""
    require_grid_size(width, height, stride)
    return height // stride, width // stride


def require_grid_size(width: int, height: int, stride: int = STRIDE) -> None:
    """Raises IllegalSize unless both sides are multiples of the stride, and two cells or more."""
    smallest = SMALLEST_CELLS * stride
    if min(width, height) >= smallest and width % stride == 0 and height % stride == 0:
        return
    raise IllegalSize(
        f"{width}x{height} is not a legal input size: both sides must be multiples of {stride}, "
        f"from {smallest}; the nearest are {' and '.join(nearest_sizes(width, height, stride))}"
    )


def nearest_sizes(width: int, height: int, stride: int = STRIDE) -> list[str]:
    """The legal sizes just below and just above, as ``WxH``; one where they are the same."""
    below = "x".join(str(max(side // stride, SMALLEST_CELLS) * stride) for side in (width, height))
    above = "x".join(str(max(-(-side // stride), SMALLEST_CELLS) * stride) for side in (width, height))
    return [below] if below == above else [below, above]
