"""DIGITS's figures of a detector, as ratios 0-1: precision, recall and their product, which it calls mAP.

``digits_map`` is averaged over validation batches of 6 from the first image, as DIGITS plots it;
``pooled_map`` is the same product over all images at once. Neither is COCO's or VOC's average precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

IOU_THRESHOLD = 0.7
DIGITS_VALIDATION_BATCH = 6


@dataclass(frozen=True)
class Counts:
    """How the boxes of one class stand against the truth."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def __add__(self, other: Counts) -> Counts:
        """The counts of both."""
        return Counts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
        )

    @property
    def precision(self) -> float:
        """Hits among the detections; 0 where there is none."""
        found = self.hits + self.false_alarms
        return self.hits / found if found else 0.0

    @property
    def recall(self) -> float:
        """Hits among the objects; 0 where there is none."""
        objects = self.hits + self.misses
        return self.hits / objects if objects else 0.0

    @property
    def product(self) -> float:
        """Precision times recall."""
        return self.precision * self.recall


@dataclass(frozen=True)
class ClassScore:
    """One class over a validation set; ratios 0-1."""

    precision: float
    """Over all images at once."""
    recall: float
    """Over all images at once."""
    digits_map: float
    pooled_map: float


def score_image(truth: FloatArray, detections: FloatArray, iou_threshold: float = IOU_THRESHOLD) -> Counts:
    """Match detections [m,4+] with true boxes [n,4] of one image and class.

    Each true box, in order, takes the first free detection whose IoU is at least the threshold; confidence
    plays no part.
    """
    ious = iou_matrix(truth[:, :4], detections[:, :4])
    free = np.ones(len(detections), np.bool_)
    for row in ious:
        fitting = np.flatnonzero(free & (row >= iou_threshold))
        if len(fitting):
            free[fitting[0]] = False
    hits = int(len(detections) - free.sum())
    return Counts(hits, len(detections) - hits, len(truth) - hits)


def class_score(counts: Sequence[Counts], batch: int = DIGITS_VALIDATION_BATCH) -> ClassScore:
    """The figures of one class from its counts per image, in the validation set's order."""
    pooled = sum(counts, Counts())
    return ClassScore(pooled.precision, pooled.recall, digits_map(counts, batch), pooled.product)


def digits_map(counts: Sequence[Counts], batch: int = DIGITS_VALIDATION_BATCH) -> float:
    """Mean over batches of precision times recall; the last batch wraps around to the first images.

    Counted from the first image, as the first validation pass does.
    """
    if not counts:
        return 0.0
    batches = -(-len(counts) // batch)
    wrapped = [counts[index % len(counts)] for index in range(batches * batch)]
    products = [
        sum(wrapped[start : start + batch], Counts()).product for start in range(0, len(wrapped), batch)
    ]
    return float(np.mean(products))


def iou_matrix(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of boxes [n,4] and [m,4] as x1,y1,x2,y2: [n,m]; 0 for boxes without area."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.maximum(high - low, 0).prod(axis=2)
    union = _areas(a)[:, None] + _areas(b)[None] - overlap
    ious = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return np.asarray(ious, np.float32)


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float64)
