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
from detectnet.coverage import GroundTruthOptions
from detectnet.sizes import SMALLEST_CELLS, STRIDE
from detectnet.survival import pairs_within, without_cell
from periscope_dataset.boxes import Table, TableWriter
from periscope_dataset.checking import CheckedImage
from periscope_dataset.findings import Example
from periscope_dataset.splits import SplitFiles

MAX_COMPARED = 300
"""Boxes of one picture that are compared with each other."""

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
    low, hidden, touching, twice = (np.zeros(len(table), np.bool_) for _ in range(4))
    rows = np.flatnonzero(table["class"] >= 0)
    # Written farthest first, ties in reverse order of the file, as in training.
    rows = rows[np.lexsort((-rows, -table["distance"][rows], table["picture"][rows]))]
    pictures = table["picture"][rows].astype(np.int64)
    boxes = table["xyxy"][rows] * scales_of(sizes, options, network)[pictures]
    low[rows] = boxes[:, 3] - boxes[:, 1] < DEFAULT_CLUSTERING.min_height
    hidden[rows] = without_cell(pictures, boxes, *network, GroundTruthOptions(stride=stride), went_on)
    touching[rows], twice[rows] = _neighbours(pictures, boxes, table["class"][rows], went_on)
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


def scales_of(
    sizes: npt.NDArray[np.int32], options: Mapping[str, Any], network: Size
) -> npt.NDArray[np.float32]:
    """By what to multiply corners in pixels of files of these sizes [n,2] to have the input's: [n,4]."""
    pad = options["pad"]
    given = np.broadcast_to([pad["width"], pad["height"]], sizes.shape) if pad else sizes
    ratios = (np.array(network) / given).astype(np.float32)
    return np.hstack([ratios, ratios])


def _neighbours(
    pictures: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int16],
    went_on: Callable[[], None],
) -> tuple[Mask, Mask]:
    """Which boxes touch another of their class, and which are equal to one that is written later."""
    touching, twice = np.zeros(len(boxes), np.bool_), np.zeros(len(boxes), np.bool_)
    first, last = boxes[:, :2], boxes[:, 2:]
    for one, other in pairs_within(pictures, MAX_COMPARED):
        went_on()
        same = classes[one] == classes[other]
        one, other = one[same], other[same]
        meet = (first[one] <= last[other]).all(axis=1) & (last[one] >= first[other]).all(axis=1)
        touching[one[meet]] = touching[other[meet]] = True
        twice[one[(boxes[one] == boxes[other]).all(axis=1)]] = True
    return touching, twice
