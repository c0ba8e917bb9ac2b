"""What a robot sees: the pre-processing and decoding of a stock jetson-inference, on numpy.

After c/detectNet.cpp and c/tensorConvert.cu of dusty-nv/jetson-inference: the path of ``.caffemodel`` files,
and that of ``.onnx`` files, which it takes for SSD networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet.images import Image

FloatArray = npt.NDArray[np.float32]

DEFAULT_THRESHOLD = 0.5
SSD_CLUSTERING = 0.75
"""Two boxes of a class become one when their overlap is more than this share of the larger."""


@dataclass(frozen=True)
class JetsonDetection:
    """One detection as jetson-inference reports it."""

    xyxy: tuple[float, float, float, float]
    """In pixels of the picture, clamped to it."""
    class_index: int
    confidence: float
    """Coverage of the cell that began the box; cells merged later do not change it."""


def preprocess_caffe(image: Image, width: int, height: int) -> FloatArray:
    """Squash a picture [H,W,3] B,G,R to the network's size: float32 [3,height,width], 0-255.

    By nearest neighbour with the source index rounded down, unlike DIGITS's bilinear resize. The mean is
    subtracted inside the network.
    """
    image_height, image_width = image.shape[:2]
    rows, columns = _source(image_height, height), _source(image_width, width)
    return np.ascontiguousarray(image[rows[:, None], columns].transpose(2, 0, 1), np.float32)


def decode_caffe(
    coverage: FloatArray,
    bboxes: FloatArray,
    *,
    image_size: tuple[int, int],
    network_size: tuple[int, int],
    threshold: float = DEFAULT_THRESHOLD,
) -> list[JetsonDetection]:
    """Boxes of one picture from coverage [C,GH,GW] and bboxes [4,GH,GW]; sizes are (width, height).

    Cells at or above the threshold are taken class by class, row by row. A cell's box that touches an earlier
    detection of its class grows that one to the union; so neighbours of one class become one box.
    The largest come first. Cells whose box is no number, of a network that ran away, are left out.
    """
    classes, rows, columns = coverage.shape
    cell = np.array([network_size[0] // columns, network_size[1] // rows] * 2, np.float32)
    scale = np.array([image_size[0] / network_size[0], image_size[1] / network_size[1]] * 2, np.float32)
    detections: list[tuple[FloatArray, int, float]] = []
    for index in range(classes):
        ys, xs = np.nonzero((coverage[index] >= threshold) & np.isfinite(bboxes).all(axis=0))
        corners = (bboxes[:, ys, xs].T + np.stack([xs, ys, xs, ys], axis=1) * cell) * scale
        merged: list[tuple[FloatArray, float]] = []
        for box, confidence in zip(corners.astype(np.float32), coverage[index, ys, xs], strict=True):
            _merge(merged, box, float(confidence))
        detections += [(box, index, confidence) for box, confidence in merged]
    # Sorted before clamping, so a box that reaches far out of the picture may come before a larger rest.
    detections.sort(key=lambda detection: -_area(detection[0]))
    return [_clamped(box, index, confidence, image_size) for box, index, confidence in detections]


def preprocess_ssd(image: Image, width: int, height: int) -> FloatArray:
    """Squash a picture [H,W,3] B,G,R by nearest neighbour: float32 [3,height,width], R,G,B in -1 to 1."""
    pixels = preprocess_caffe(image, width, height)[::-1] / np.float32(255)
    return np.ascontiguousarray((pixels - np.float32(0.5)) / np.float32(0.5))


def decode_ssd(
    scores: FloatArray,
    boxes: FloatArray,
    *,
    image_size: tuple[int, int],
    threshold: float = DEFAULT_THRESHOLD,
    clustering: float = SSD_CLUSTERING,
) -> list[JetsonDetection]:
    """Boxes of one picture from scores [N,C+1], background first, and boxes [N,4] as shares of the picture.

    Each row counts for its best class if that reaches the threshold. A box that overlaps an earlier one of
    its class by more than ``clustering`` of the larger grows it to the union, with the higher of both scores.
    The largest come first; classes are numbered without the background.
    """
    extent = np.array([*image_size, *image_size], np.float32)
    known: list[tuple[FloatArray, int, float]] = []
    for row, box in zip(scores[:, 1:], boxes * extent, strict=True):
        index = int(row.argmax())
        if row[index] >= threshold and np.isfinite(box).all():
            _join(known, box.astype(np.float32), index, float(row[index]), clustering)
    known.sort(key=lambda detection: -_area(detection[0]))
    return [_clamped(box, index, confidence, image_size) for box, index, confidence in known]


def _join(
    known: list[tuple[FloatArray, int, float]],
    box: FloatArray,
    index: int,
    confidence: float,
    clustering: float,
) -> None:
    for position, (other, other_index, other_confidence) in enumerate(known):
        sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        overlap = float(sides.prod()) if (sides > 0).all() else 0.0
        if other_index == index and overlap > clustering * max(_area(box), _area(other)):
            union = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
            known[position] = (union, index, max(confidence, other_confidence))
            return
    known.append((box, index, confidence))


def _source(taken: int, wanted: int) -> npt.NDArray[np.int64]:
    """Which row or column each one of the result comes from, in single precision as on the GPU."""
    ratio = np.float32(taken) / np.float32(wanted)
    return np.minimum((np.arange(wanted, dtype=np.float32) * ratio).astype(np.int64), taken - 1)


def _merge(merged: list[tuple[FloatArray, float]], box: FloatArray, confidence: float) -> None:
    for known, _ in merged:
        if (box[:2] <= known[2:]).all() and (box[2:] >= known[:2]).all():
            known[:2] = np.minimum(known[:2], box[:2])
            known[2:] = np.maximum(known[2:], box[2:])
            return
    merged.append((box.copy(), confidence))


def _clamped(
    box: FloatArray, class_index: int, confidence: float, image_size: tuple[int, int]
) -> JetsonDetection:
    """Each side is held at one edge only, as on the robot: a box outside the picture stays outside."""
    left, top, right, bottom = (float(side) for side in box)
    right = right if right < image_size[0] else image_size[0] - 1.0
    bottom = bottom if bottom < image_size[1] else image_size[1] - 1.0
    return JetsonDetection((max(left, 0.0), max(top, 0.0), right, bottom), class_index, confidence)


def _area(box: FloatArray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
