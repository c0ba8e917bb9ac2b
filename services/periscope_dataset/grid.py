"""What the network's grid does to the boxes of a split: which are too low, hidden, touching, double."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap
from detectnet.clustering import DEFAULT_CLUSTERING
from detectnet.coverage import GroundTruthOptions, cells_owned
from detectnet.sizes import SMALLEST_CELLS, STRIDE, require_grid_size
from periscope_dataset.boxes import Table, TableWriter
from periscope_dataset.checking import CheckedImage
from periscope_dataset.findings import Example
from periscope_dataset.splits import SplitFiles

MAX_COMPARED = 300
"""Boxes of one picture that are compared with each other."""
PICTURES_BETWEEN_REPORTS = 200

Size = tuple[int, int]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """A split as the lint looks at it: pictures in order of their keys, and their boxes."""

    files: SplitFiles
    keys: list[str]
    table: Table

    def image(self, number: int) -> CheckedImage:
        """The picture at a place."""
        return self.files.images[self.keys[number]]

    @property
    def sizes(self) -> npt.NDArray[np.int32]:
        """Widths and heights of all pictures, [n,2]."""
        images = map(self.image, range(len(self.keys)))
        return np.array([(image.width, image.height) for image in images], np.int32).reshape(-1, 2)

    def example(self, row: Any) -> Example:
        """A box, for people to look at."""
        path = self.files.labels[self.keys[int(row["picture"])]].path
        left, top, right, bottom = (round(float(side), 2) for side in row["xyxy"])
        return Example(path, int(row["line"]), (left, top, right, bottom))


def judged(files: SplitFiles, classes: ClassMap | None, folder: Path) -> Judged:
    """A split with all its boxes; ``folder`` holds its files."""
    writer, order = TableWriter(classes), sorted(files.images)
    for number, key in enumerate(order):
        writer.add(number, folder / files.labels[key].file)
    return Judged(files, order, writer.table())


@dataclass
class Seen:
    """What the grid does to the boxes of a split; masks over the table's rows."""

    low: Mask
    hidden: Mask
    touching: Mask
    twice: Mask


def network_size(options: Mapping[str, Any], sizes: Counter[Size]) -> Size:
    """Width and height in pixels that the network's input will most likely have."""
    fixed = options["resize"] or options["pad"]
    width, height = (fixed["width"], fixed["height"]) if fixed else min(sizes, key=lambda s: (-sizes[s], s))
    rounded = [max(-(-side // STRIDE), SMALLEST_CELLS) * STRIDE for side in (width, height)]
    return rounded[0], rounded[1]


def look_at(split: Judged, options: dict[str, Any], network: Size, went_on: Callable[[], None]) -> Seen:
    """Go through a split, picture by picture; ``went_on`` is called now and then."""
    return look_at_boxes(split.table, split.sizes, options, network, went_on=went_on)


def look_at_boxes(
    table: Table,
    sizes: npt.NDArray[np.int32],
    options: Mapping[str, Any],
    network: Size,
    stride: int = STRIDE,
    went_on: Callable[[], None] = lambda: None,
) -> Seen:
    """The same from all boxes of a split and its pictures' widths and heights [n,2]. Raises IllegalSize."""
    require_grid_size(*network, stride)
    truth = GroundTruthOptions(stride=stride)
    real = table["class"] >= 0
    low, hidden, touching, twice = (np.zeros(len(table), np.bool_) for _ in range(4))
    starts = np.searchsorted(table["picture"], np.arange(len(sizes) + 1))
    for number, (width, height) in enumerate(sizes.tolist()):
        rows = np.arange(starts[number], starts[number + 1])
        rows = rows[real[rows]]
        if number % PICTURES_BETWEEN_REPORTS == 0:
            went_on()
        if not len(rows):
            continue
        # Written farthest first, ties in reverse order of the file, as in training.
        rows = rows[np.argsort(table["distance"][rows], kind="stable")][::-1]
        boxes = table["xyxy"][rows] * scale_of((width, height), options, network)
        low[rows] = boxes[:, 3] - boxes[:, 1] < DEFAULT_CLUSTERING.min_height
        hidden[rows] = cells_owned(boxes, *network, truth) == 0
        touching[rows], twice[rows] = _neighbours(boxes, table["class"][rows])
    return Seen(low, hidden, touching & ~twice, twice)


def empty_boxes(table: Table) -> Mask:
    """Boxes of a class without area."""
    sides = table["xyxy"][:, 2:] - table["xyxy"][:, :2]
    return np.asarray((sides.min(axis=1, initial=np.inf) <= 0) & (table["class"] >= 0))


def boxes_outside(table: Table, sizes: npt.NDArray[np.int32]) -> Mask:
    """Boxes of a class that reach out of their pictures, whose widths and heights are ``sizes`` [n,2]."""
    limits = sizes[table["picture"]] + 1.0
    boxes = table["xyxy"]
    out = (boxes[:, 2:] > limits).any(axis=1) | (boxes[:, :2] < -1).any(axis=1)
    return np.asarray(out & (table["class"] >= 0))


def scale_of(image: Size, options: Mapping[str, Any], network: Size) -> npt.NDArray[np.float32]:
    """By what to multiply corners [4] in a file's pixels to have those of the network's input."""
    pad = options["pad"]
    width, height = (pad["width"], pad["height"]) if pad else image
    return np.array([network[0] / width, network[1] / height] * 2, np.float32)


def _neighbours(boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int16]) -> tuple[Mask, Mask]:
    """Which boxes touch another of their class, and which are equal to one before them in the file."""
    touching, twice = np.zeros(len(boxes), np.bool_), np.zeros(len(boxes), np.bool_)
    if 1 < len(boxes) <= MAX_COMPARED:
        first, last = boxes[:, None, :2], boxes[:, None, 2:]
        meet = (first <= boxes[None, :, 2:]).all(axis=2) & (last >= boxes[None, :, :2]).all(axis=2)
        same = classes[:, None] == classes[None, :]
        others = ~np.eye(len(boxes), dtype=np.bool_)
        touching = (meet & same & others).any(axis=1)
        equal = (boxes[:, None] == boxes[None]).all(axis=2) & same
        twice = np.triu(equal, 1).any(axis=1)
    return touching, twice
