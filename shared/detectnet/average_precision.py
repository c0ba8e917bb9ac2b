"""COCO's average precision of one class: the figure that papers give, beside DIGITS's own.

The rules are those of COCO's box evaluation over objects of all sizes: at most 100 detections a picture, the
surest first; each takes the free object it overlaps most, if that is enough; precision is read at 101
recalls. What ranks the detections is the decoder's confidence, so the figure belongs to a decoder: with
``digits`` it is the logarithm of the votes, with a Jetson's decoders the coverage of a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.metrics import ClassScore, iou_matrix

FloatArray = npt.NDArray[np.float32]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class AveragePrecision:
    """Ratios 0-1; None where the class has no object."""

    coco_ap: float | None
    """Mean over the IoU thresholds 0.50, 0.55 ... 0.95."""
    coco_ap50: float | None
    """At the IoU threshold 0.50."""


def average_precision(truth: Sequence[FloatArray], found: Sequence[FloatArray]) -> AveragePrecision:
    """COCO AP and AP50 of one class.

    For each picture ``truth`` has its boxes [n,4] x1,y1,x2,y2 and ``found`` the detections [m,5] with their
    confidence last.
    """
    objects = sum(len(boxes) for boxes in truth)
    if not objects:
        return AveragePrecision(None, None)
    scores: list[FloatArray] = []
    hits: list[npt.NDArray[np.bool_]] = []
    for boxes, detections in zip(truth, found, strict=True):
        # Stable, as COCO's own: of equal confidences the first stays first.
        order = np.argsort(-detections[:, 4], kind="stable")[:MAX_DETECTIONS]
        ranked = detections[order]
        scores.append(ranked[:, 4])
        hits.append(_matches(iou_matrix(ranked[:, :4], boxes)))
    confidence = np.concatenate(scores)
    hit = np.concatenate(hits, axis=1)[:, np.argsort(-confidence, kind="stable")]
    precisions = [_interpolated(row, objects) for row in hit]
    return AveragePrecision(float(np.mean(precisions)), precisions[0])


def figures_of(
    scores: Mapping[str, ClassScore], precisions: Mapping[str, AveragePrecision]
) -> dict[str, Any]:
    """All figures by class, and their means over the classes; COCO's over those that have objects."""
    return {
        "digits_map": float(np.mean([score.digits_map for score in scores.values()])),
        "pooled_map": float(np.mean([score.pooled_map for score in scores.values()])),
        "coco_ap": _mean(precision.coco_ap for precision in precisions.values()),
        "coco_ap50": _mean(precision.coco_ap50 for precision in precisions.values()),
        "classes": {
            name: asdict(score) | (asdict(precisions[name]) if name in precisions else {})
            for name, score in scores.items()
        },
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _matches(ious: FloatArray) -> npt.NDArray[np.bool_]:
    """For each threshold and ranked detection whether it takes an object: [T,m] from IoUs [m,n]."""
    hits = np.zeros((len(IOU_THRESHOLDS), len(ious)), np.bool_)
    if not ious.size:
        return hits
    for row, threshold in zip(hits, IOU_THRESHOLDS, strict=True):
        free = np.ones(ious.shape[1], np.bool_)
        for place, overlaps in enumerate(ious):
            open_to_it = np.where(free, overlaps, -1.0)
            # Of equal overlaps COCO takes the last.
            best = len(open_to_it) - 1 - int(np.argmax(open_to_it[::-1]))
            if open_to_it[best] >= min(threshold, 1 - 1e-10):
                free[best] = False
                row[place] = True
    return hits


def _interpolated(hit: npt.NDArray[np.bool_], objects: int) -> float:
    """Mean precision at 101 recalls, each the best that is reached at that recall or a higher one."""
    true, false = np.cumsum(hit), np.cumsum(~hit)
    recall = true / objects
    precision = true / np.maximum(true + false, np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(np.mean([best[place] if place < len(best) else 0.0 for place in places]))
