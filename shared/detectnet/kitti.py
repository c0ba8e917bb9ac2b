"""KITTI object labels: one object a line, 15 columns, or 16 with a score.

DIGITS separates columns by single spaces only; any run of white space is taken here. Nothing is filtered:
truncation and occlusion are read and never used, as in DIGITS. Numbers that no later step can use (not a
number, infinite) are refused, with file and line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = (
    "type", "truncated", "occluded", "alpha", "left", "top", "right", "bottom",
    "height", "width", "length", "x", "y", "z", "rotation_y", "score",
)  # fmt: skip
MIN_COLUMNS = 15
ADVICE = "write a number such as 12.50, and 0.00 where it is not known"


class LabelError(ValueError):
    """A label file that cannot be read."""

    def __init__(self, filename: str, line: int, message: str) -> None:
        super().__init__(f"{filename}, line {line}: {message}")
        self.filename = filename
        self.line = line
        self.message = message


@dataclass(frozen=True)
class KittiObject:
    """One labelled object."""

    type: str
    """Lower-cased, as DIGITS looks it up."""
    xyxy: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the image file; not checked for order or bounds."""
    truncated: float = 0.0
    occluded: int = 0
    alpha: float = 0.0
    dimensions: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Height, width, length in metres."""
    location: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """x, y, z in metres; z, the distance, decides who is written last into the grid."""
    rotation_y: float = 0.0
    score: float | None = None
    line_number: int = 0
    """From 1; 0 where the object comes from no file."""


def parse_label(text: str, filename: str) -> list[KittiObject]:
    """Read a label file's objects in file order; an empty file has none.

    Raises:
        LabelError: a line has too few columns or a word where a number belongs.
    """
    return [
        _parse_line(line.split(), filename, number)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]


def format_label(objects: Iterable[KittiObject]) -> str:
    """Write objects as a KITTI label file, numbers with two decimals."""
    lines = []
    for item in objects:
        numbers = [*item.xyxy, *item.dimensions, *item.location, item.rotation_y]
        if item.score is not None:
            numbers.append(item.score)
        written = " ".join(f"{number:.2f}" for number in numbers)
        lines.append(f"{item.type} {item.truncated:.2f} {item.occluded} {item.alpha:.2f} {written}\n")
    return "".join(lines)


def _parse_line(fields: list[str], filename: str, number: int) -> KittiObject:
    if len(fields) < MIN_COLUMNS:
        raise LabelError(
            filename,
            number,
            f"{len(fields)} columns where KITTI has {MIN_COLUMNS} (or 16 with a score); "
            "a class name must not contain spaces",
        )
    values = [
        _number(field, COLUMNS[column], filename, number)
        for column, field in enumerate(fields[: len(COLUMNS)])
        if column > 0
    ]
    left, top, right, bottom = values[3:7]
    return KittiObject(
        type=fields[0].lower(),
        xyxy=(left, top, right, bottom),
        truncated=values[0],
        occluded=int(values[1]),
        alpha=values[2],
        dimensions=(values[7], values[8], values[9]),
        location=(values[10], values[11], values[12]),
        rotation_y=values[13],
        score=values[14] if len(values) > MIN_COLUMNS - 1 else None,
        line_number=number,
    )


def _number(field: str, column: str, filename: str, line: int) -> float:
    try:
        value = float(field)
    except ValueError as error:
        raise LabelError(filename, line, f"{column} is {field!r} where a number belongs; {ADVICE}") from error
    if not math.isfinite(value):
        raise LabelError(filename, line, f"{column} is {field}, not a finite number; {ADVICE}")
    return value
