"""The ground truth of DetectNet: boxes written into a grid of 16-pixel cells.

After NVIDIA/caffe's detectnet_coverage_rectangular and its ground-truth parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectnet.kitti import KittiObject
from detectnet.sizes import STRIDE, grid_shape

FloatArray = npt.NDArray[np.float32]

FOREGROUND = 0
BBOX = slice(1, 5)
SIZE = slice(5, 7)
OBJ = 7
COVERAGE_START = 8
SMALLEST = 1.19e-7
"""Areas and overlaps up to this (single precision's step) count as none."""


@dataclass(frozen=True)
class GroundTruthOptions:
    """Ground-truth parameters; the defaults are those of DetectNet's published network file."""

    stride: int = STRIDE
    scale_cvg: float = 0.4
    """Share of a box's side that its coverage rectangle keeps."""
    gridbox: Literal["min", "max"] = "min"
    min_cvg_len: float = 20.0
    """Pixels; with ``min`` the rectangle is not smaller than this, unless the box is."""
    max_cvg_len: float = 50.0
    """Pixels; with ``max`` the rectangle is not larger than this."""
    obj_norm: bool = True
    crop_bboxes: bool = False


DEFAULT_OPTIONS = GroundTruthOptions()


def writing_order(objects: Sequence[KittiObject]) -> list[int]:
    """Indices in the order the grid is written: farthest first, ties in reverse file order.

    The last writer of a cell wins, so that is the nearest object, and the file's first line among equals.
    """
    return sorted(range(len(objects)), key=lambda index: objects[index].location[2])[::-1]


def encode_targets(
    boxes_xyxy: FloatArray,
    class_indices: npt.NDArray[np.int64],
    width: int,
    height: int,
    classes: int,
    options: GroundTruthOptions = DEFAULT_OPTIONS,
) -> FloatArray:
    """Write boxes into the grid.

    ``boxes_xyxy`` [n,4] in pixels of the network's input and ``class_indices`` [n] stand in writing order: a
    later box replaces an earlier one in the cells that both cover. Boxes of class -1 (don't care) and boxes
    without area vanish; their place is background.

    Returns float32 [8+C, GH, GW]: foreground, box corners relative to the cell's top-left corner in pixels
    (4), 1/width and 1/height of the box (2), object norm, coverage of each class. Raises IllegalSize.
    """
    rows, columns = grid_shape(width, height, options.stride)
    targets = np.zeros((COVERAGE_START + classes, rows, columns), np.float32)
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    if options.crop_bboxes:
        boxes = np.clip(boxes, 0, np.array([width, height, width, height]))
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = (class_indices >= 0) & _is_solid(sides)
    boxes, sides, class_indices = boxes[kept], sides[kept], class_indices[kept]
    if not len(boxes):
        return targets
    covered = _covered_side(sides, options)
    winner = _last_writer(boxes, covered, (rows, columns), options.stride)
    _fill(targets, winner, boxes, class_indices, options.stride)
    written = winner >= 0
    chosen = winner[written]
    norms = options.stride**2 / covered.prod(axis=1)
    targets[SIZE, written] = (1.0 / sides[chosen]).T
    targets[OBJ, written] = np.maximum(norms, 0.0 if options.obj_norm else 1.0)[chosen]
    return targets


def covers_a_cell(
    boxes_xyxy: FloatArray, width: int, height: int, options: GroundTruthOptions = DEFAULT_OPTIONS
) -> npt.NDArray[np.bool_]:
    """For each box [n,4] alone, whether it sets at least one cell: [n]. Raises IllegalSize."""
    labels = np.zeros(1, np.int64)
    return np.array(
        [
            bool(encode_targets(box[None], labels, width, height, 1, options)[FOREGROUND].any())
            for box in np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
        ],
        dtype=np.bool_,
    )


def cells_owned(
    boxes_xyxy: FloatArray, width: int, height: int, options: GroundTruthOptions = DEFAULT_OPTIONS
) -> npt.NDArray[np.int64]:
    """How many cells each box [n,4] is left with once all are written in this order: [n].

    Boxes in pixels of the network's input, in writing order. Raises IllegalSize.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    owned = np.zeros(len(boxes), np.int64)
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = np.flatnonzero(_is_solid(sides))
    shape = grid_shape(width, height, options.stride)
    winner = _last_writer(boxes[kept], _covered_side(sides[kept], options), shape, options.stride)
    counts = np.bincount(winner[winner >= 0], minlength=len(kept))
    owned[kept] = counts[: len(kept)]
    return owned


def covered_rectangles(
    boxes_xyxy: FloatArray, options: GroundTruthOptions = DEFAULT_OPTIONS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """First and last corners [n,2] of what boxes [n,4] cover, and which have an area and are written [n]."""
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres, covered = (boxes[:, :2] + boxes[:, 2:]) / 2, _covered_side(sides, options)
    return centres - covered / 2, centres + covered / 2, _is_solid(sides)


def _is_solid(sides: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((sides.min(axis=1, initial=np.inf) > 0) & (sides.prod(axis=1) >= SMALLEST))


def _covered_side(sides: npt.NDArray[np.float64], options: GroundTruthOptions) -> npt.NDArray[np.float64]:
    """Sides [n,2] of the coverage rectangles."""
    shrunk = options.scale_cvg * sides
    if options.gridbox == "max":
        return np.asarray(np.minimum(options.max_cvg_len, shrunk), np.float64)
    return np.asarray(np.minimum(sides, np.maximum(options.min_cvg_len, shrunk)), np.float64)


def _last_writer(
    boxes: npt.NDArray[np.float64], covered: npt.NDArray[np.float64], shape: tuple[int, int], stride: int
) -> npt.NDArray[np.int64]:
    """Which box owns each cell: [GH,GW], -1 for none."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    first, last = centres - covered / 2, centres + covered / 2
    x_overlap = _overlaps(first[:, 0], last[:, 0], shape[1], stride)
    y_overlap = _overlaps(first[:, 1], last[:, 1], shape[0], stride)
    winner = np.full(shape, -1, np.int64)
    for index in range(len(boxes)):
        # Only the rows and columns that the box touches: a slice, not a walk over the grid.
        ys, xs = np.flatnonzero(y_overlap[index] > 0), np.flatnonzero(x_overlap[index] > 0)
        if len(ys) and len(xs):
            share = np.outer(y_overlap[index, ys], x_overlap[index, xs]) / stride**2
            block = winner[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
            block[share > SMALLEST] = index
    return winner


def _overlaps(
    first: npt.NDArray[np.float64], last: npt.NDArray[np.float64], cells: int, stride: int
) -> npt.NDArray[np.float64]:
    """Overlap in pixels of each interval with each cell along one axis: [n,cells], 0 where none."""
    edges = np.arange(cells, dtype=np.float64) * stride
    overlap = np.minimum(last[:, None], edges + stride) - np.maximum(first[:, None], edges)
    return np.asarray(np.maximum(overlap, 0.0), np.float64)


def _fill(
    targets: FloatArray,
    winner: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.float64],
    class_indices: npt.NDArray[np.int64],
    stride: int,
) -> None:
    """Write foreground, corners and coverage of each cell's owner."""
    ys, xs = np.nonzero(winner >= 0)
    owners = winner[ys, xs]
    origins = np.stack([xs, ys, xs, ys], axis=1) * stride
    targets[FOREGROUND, ys, xs] = 1
    targets[BBOX, ys, xs] = (boxes[owners] - origins).T
    targets[COVERAGE_START + class_indices[owners], ys, xs] = 1
