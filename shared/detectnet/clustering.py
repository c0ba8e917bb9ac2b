"""From grids to boxes as DIGITS did: candidate cells, OpenCV's groupRectangles, and the ground truth's twin.

After python/caffe/layers/detectnet/clustering.py of NVIDIA/caffe 0.17.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.coverage import BBOX, COVERAGE_START, SMALLEST
from detectnet.sizes import STRIDE

FloatArray = npt.NDArray[np.float32]

MAX_BOXES = 50
"""Per image and class. DIGITS died on more; here the surest are kept."""
FURTHEST = 30_000.0
"""Pixels. Boxes are cut here: beyond, float16 knows no numbers."""


@dataclass(frozen=True)
class ClusterOptions:
    """Parameters of DetectNet's cluster layer, with the published values."""

    stride: int = STRIDE
    coverage_threshold: float = 0.6
    """A cell votes when its coverage is at least this."""
    group_threshold: int = 2
    """A group needs more votes than this."""
    eps: float = 0.02
    min_height: int = 22
    """Pixels of the network's input; lower boxes are dropped."""


DEFAULT_CLUSTERING = ClusterOptions()


def cluster_detections(
    coverage: FloatArray, bboxes: FloatArray, options: ClusterOptions = DEFAULT_CLUSTERING
) -> list[FloatArray]:
    """Boxes of one image for each class, from coverage [C,GH,GW] and bboxes [4,GH,GW].

    Each array is float32 [n,5]: x1,y1,x2,y2 in pixels of the network's input and the confidence, which is
    the natural logarithm of the number of votes and no probability. Values have float16 steps, as in DIGITS.
    """
    return [_cluster_class(channel, bboxes, options) for channel in coverage]


def cluster_ground_truth(targets: FloatArray, stride: int = STRIDE) -> list[FloatArray]:
    """What the grid kept of the truth, for each class: float32 [n,4] from targets [8+C,GH,GW].

    Objects that were overwritten in all their cells are not in it, as in DIGITS.
    """
    boxes = []
    for channel in targets[COVERAGE_START:]:
        candidates = _candidate_boxes(channel, targets[BBOX], stride, smallest=SMALLEST)
        steps = candidates.astype(np.float16).astype(np.float32)
        boxes.append(np.unique(steps, axis=0)[:MAX_BOXES].reshape(-1, 4))
    return boxes


def group_rectangles(
    rectangles_xywh: npt.NDArray[np.int32] | Sequence[Sequence[int]], group_threshold: int, eps: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """OpenCV's groupRectangles: groups [m,4] as x,y,w,h and the members of each [m]."""
    rectangles = np.asarray(rectangles_xywh, np.int32).reshape(-1, 4)
    if not len(rectangles):
        return np.zeros((0, 4), np.int32), np.zeros(0, np.int32)
    grouped, weights = cv2.groupRectangles(rectangles.tolist(), group_threshold, eps)
    return np.asarray(grouped, np.int32).reshape(-1, 4), np.asarray(weights, np.int32).reshape(-1)


def _cluster_class(channel: FloatArray, bboxes: FloatArray, options: ClusterOptions) -> FloatArray:
    candidates = _candidate_boxes(channel, bboxes, options.stride, options.coverage_threshold)
    xywh = np.concatenate([candidates[:, :2], candidates[:, 2:] - candidates[:, :2]], axis=1)
    # OpenCV's binding rounds halves to even; so does rint.
    grouped, weights = group_rectangles(np.rint(xywh).astype(np.int32), options.group_threshold, options.eps)
    high_enough = grouped[:, 3] >= options.min_height
    grouped, votes = grouped[high_enough], weights[high_enough].astype(np.float64)
    order = np.argsort(-votes, kind="stable")[:MAX_BOXES] if len(votes) > MAX_BOXES else np.arange(len(votes))
    grouped, votes = grouped[order], votes[order]
    corners = np.concatenate([grouped[:, :2], grouped[:, :2] + grouped[:, 2:]], axis=1)
    rows = np.concatenate([corners, np.log(np.maximum(votes, 1))[:, None]], axis=1)
    return rows.astype(np.float16).astype(np.float32)


def _candidate_boxes(channel: FloatArray, bboxes: FloatArray, stride: int, smallest: float) -> FloatArray:
    """Boxes [n,4] in input pixels of all cells at or above the threshold, row by row.

    A network that has run away predicts no numbers in places; such a cell has no vote.
    """
    ys, xs = np.nonzero((channel >= smallest) & np.isfinite(bboxes).all(axis=0))
    origins = np.stack([xs, ys, xs, ys]).astype(np.float32) * stride
    boxes = (bboxes[:, ys, xs] + origins).T
    return np.ascontiguousarray(np.clip(boxes, -FURTHEST, FURTHEST), np.float32)
