"""DIGITS's "subtract mean": a mean of the training pictures that is taken off before all else.

The network subtracts 127 by itself, so published recipes ask for none. A mean *pixel* travels inside every
exported network, as a 1x1 convolution in Caffe's files. A mean *picture* fits into ONNX graphs only:
TensorRT's Caffe parser has no layer for it, so ``mean.binaryproto`` stands beside the pair, as in DIGITS.
Among a network's weights both stand under the names below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectnet import network
from detectnet.caffemodel import CaffeLayer, CaffemodelError, read_blob, write_blob

FloatArray = npt.NDArray[np.float32]
MeanKind = Literal["none", "image", "pixel"]

LAYER = "subtract_mean"
TOP = "mean_subtracted"
WEIGHT, BIAS, PICTURE = f"{LAYER}.weight", f"{LAYER}.bias", f"{LAYER}.picture"
MEAN_FILE = "mean.binaryproto"
WARNING = (
    "subtract_mean {kind}: DetectNet's network subtracts 127 itself, and its published recipes ask for none; "
    "leave it at none unless an old training must be repeated"
)
NOT_FOR_ROBOTS = (
    "The network subtracts a mean picture, which no Caffe file that TensorRT reads can hold. "
    "Train with subtract_mean none or pixel to get a model for a robot."
)
_CHUNK_IMAGES = 64


def mean_of(images: npt.NDArray[np.uint8], kind: str) -> FloatArray | None:
    """The mean of pictures uint8 [n,H,W,3]: float32 [3,1,1] for a pixel, [3,H,W] for a picture, B,G,R.

    As in DIGITS the mean picture is rounded to whole numbers, and the mean pixel is the mean of that.

    Raises:
        ValueError: there is no such kind of mean.
    """
    if kind == "none":
        return None
    if kind not in ("image", "pixel"):
        raise ValueError(f"there is no subtract_mean {kind!r}; there are none, image and pixel")
    total = np.zeros(images.shape[1:], np.float64)
    for start in range(0, len(images), _CHUNK_IMAGES):
        total += images[start : start + _CHUNK_IMAGES].sum(axis=0, dtype=np.float64)
    picture = np.rint(total / len(images)).transpose(2, 0, 1)
    mean = picture if kind == "image" else picture.mean(axis=(1, 2), keepdims=True)
    return np.ascontiguousarray(mean, np.float32)


def mean_weights(mean: FloatArray | None) -> dict[str, FloatArray]:
    """The mean as it stands among a network's weights."""
    if mean is None:
        return {}
    if mean.shape[1:] != (1, 1):
        return {PICTURE: mean}
    return {WEIGHT: np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), BIAS: -mean.reshape(3)}


def mean_in(weights: Mapping[str, FloatArray]) -> FloatArray | None:
    """The mean [3,1,1] or [3,H,W] that stands among weights, or None."""
    if PICTURE in weights:
        return np.asarray(weights[PICTURE], np.float32)
    if BIAS in weights:
        return np.asarray(-weights[BIAS], np.float32).reshape(3, 1, 1)
    return None


def mean_layers(weights: Mapping[str, FloatArray]) -> list[CaffeLayer]:
    """The layer of a caffemodel that subtracts a mean pixel; none for other weights."""
    if BIAS not in weights:
        return []
    blobs = (weights[WEIGHT], weights[BIAS])
    return [CaffeLayer(LAYER, "Convolution", (network.INPUT,), (TOP,), blobs)]


def write_mean(mean: FloatArray) -> bytes:
    """``mean.binaryproto``: one BlobProto [1,3,H,W]."""
    return write_blob(mean[None])


def read_mean(content: bytes) -> FloatArray:
    """The mean picture [3,H,W] of a ``mean.binaryproto``, ours or DIGITS's.

    Raises:
        CaffemodelError: the bytes are something else.
    """
    blob = read_blob(content)
    if blob.ndim != 4 or blob.shape[:2] != (1, 3):
        raise CaffemodelError(f"{MEAN_FILE} holds a blob of shape {blob.shape}, not [1,3,H,W]")
    picture: FloatArray = blob[0]
    return picture
