"""What a robot sees: the pre-processing and decoding of a stock jetson-inference, on numpy.

After c/detectNet.cpp and c/tensorConvert.cu of dusty-nv/jetson-inference, the path of ``.caffemodel`` files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet.images import Image

FloatArray = npt.NDArray[np.float32]

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class JetsonDetection:
    """One detection as jetson-inference reports it."""

    xyxy: tuple[float, float, float, float]
    """In pixels of the picture, clamped to it."""
    class_index: int
    confidence: float
    """Coverage of the cell that began the box; cells merged later do not change it."""

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.xyxy[2] - self.xyxy[0]) * (self.xyxy[3] - self.xyxy[1])


def preprocess_caffe(image: Image, width: int, height: int) -> FloatArray:
    """Squash a picture [H,W,3] B,G,R to the network's size: float32 [3,height,width], 0-255.

    By nearest neighbour with the source index rounded down, unlike DIGITS's bilinear resize. The mean is
    subtracted inside the network.
    """
    image_height, image_width = image.shape[:2]
    rows = np.minimum((np.arange(height) * (image_height / height)).astype(np.int64), image_height - 1)
    columns = np.minimum((np.arange(width) * (image_width / width)).astype(np.int64), image_width - 1)
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
    The largest come first.
    """
    classes, rows, columns = coverage.shape
    cell = np.array([network_size[0] // columns, network_size[1] // rows] * 2, np.float32)
    scale = np.array([image_size[0] / network_size[0], image_size[1] / network_size[1]] * 2, np.float32)
    detections: list[JetsonDetection] = []
    for index in range(classes):
        ys, xs = np.nonzero(coverage[index] >= threshold)
        corners = (bboxes[:, ys, xs].T + np.stack([xs, ys, xs, ys], axis=1) * cell) * scale
        merged: list[tuple[FloatArray, float]] = []
        for box, confidence in zip(corners.astype(np.float32), coverage[index, ys, xs], strict=True):
            _merge(merged, box, float(confidence))
        detections += [_clamped(box, index, confidence, image_size) for box, confidence in merged]
    return sorted(detections, key=lambda detection: -detection.area)


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
    limits = np.array([image_size[0] - 1, image_size[1] - 1] * 2, np.float32)
    left, top, right, bottom = (float(value) for value in np.clip(box, 0, limits))
    return JetsonDetection((left, top, right, bottom), class_index, confidence)
