"""One picture through a network and out as boxes, in each of the three ways in which that is done.

``digits`` is what DIGITS showed: bilinear resize, votes of cells, the natural logarithm of the votes as the
confidence. ``jetson-caffe`` and ``jetson-onnx`` are what a stock jetson-inference reports for the two kinds
of file: nearest-neighbour resize, the coverage of a cell as the confidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from detectnet.clustering import ClusterOptions, cluster_detections
from detectnet.images import Image, resize_image
from detectnet.jetson import (
    DEFAULT_THRESHOLD,
    decode_caffe,
    decode_ssd,
    preprocess_caffe,
    preprocess_ssd,
)

FloatArray = npt.NDArray[np.float32]
Size = tuple[int, int]
"""Width and height in pixels."""
Decoder = Literal["digits", "jetson-caffe", "jetson-onnx"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)

Network = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From float32 [3,H,W] to the grids (coverage [C,GH,GW], bboxes [4,GH,GW]) or, for ``jetson-onnx``, to
(scores [N,C+1], boxes [N,4])."""


@dataclass(frozen=True)
class Detection:
    """One object that was found."""

    xyxy: tuple[float, float, float, float]
    """In pixels of the picture as it came."""
    class_index: int
    confidence: float
    """See the decoder: a coverage 0-1, or with ``digits`` the logarithm of a number of votes."""


def default_threshold(decoder: Decoder) -> float:
    """The coverage that a cell needs, where nobody says."""
    return ClusterOptions().coverage_threshold if decoder == "digits" else DEFAULT_THRESHOLD


def prepare(image: Image, size: Size, decoder: Decoder) -> FloatArray:
    """The picture [H,W,3] B,G,R as the decoder's network takes it: float32 [3,height,width]."""
    if decoder == "jetson-caffe":
        return preprocess_caffe(image, *size)
    if decoder == "jetson-onnx":
        return preprocess_ssd(image, *size)
    resized = resize_image(image, *size)
    return np.ascontiguousarray(resized.transpose(2, 0, 1), dtype=np.float32)


def decode(
    outputs: tuple[FloatArray, FloatArray],
    decoder: Decoder,
    *,
    image_size: Size,
    network_size: Size,
    threshold: float | None = None,
) -> list[Detection]:
    """Boxes from the network's two outputs; see Network for their shapes."""
    least = default_threshold(decoder) if threshold is None else threshold
    if decoder == "digits":
        return _by_votes(outputs, image_size, network_size, least)
    if decoder == "jetson-caffe":
        found = decode_caffe(*outputs, image_size=image_size, network_size=network_size, threshold=least)
    else:
        found = decode_ssd(*outputs, image_size=image_size, threshold=least)
    return [Detection(item.xyxy, item.class_index, item.confidence) for item in found]


def detect(
    network: Network, image: Image, size: Size, decoder: Decoder, threshold: float | None = None
) -> list[Detection]:
    """Boxes of a picture [H,W,3] B,G,R by a network with an input of ``size``."""
    outputs = network(prepare(image, size, decoder))
    image_size = (image.shape[1], image.shape[0])
    return decode(outputs, decoder, image_size=image_size, network_size=size, threshold=threshold)


def _by_votes(
    grids: tuple[FloatArray, FloatArray], image_size: Size, network_size: Size, threshold: float
) -> list[Detection]:
    ratio = np.array([image_size[0] / network_size[0], image_size[1] / network_size[1]] * 2)
    clustered = cluster_detections(*grids, ClusterOptions(coverage_threshold=threshold))
    return [
        Detection(_sides(row[:4] * ratio), index, float(row[4]))
        for index, rows in enumerate(clustered)
        for row in rows
    ]


def _sides(box: npt.NDArray[np.floating]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(np.float32(side)) for side in box)
    return left, top, right, bottom
