"""Proof that the exported networks compute what PyTorch computed on the snapshot's stored images.

The training program leaves up to eight validation images with its own raw outputs beside each snapshot.
Here OpenCV runs the Caffe pair and onnxruntime the grid ONNX on the same images; the largest differences
must stay below the limits. torch is not needed, so the service proves the files and not its own memory.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

MAX_COVERAGE_DIFFERENCE = 1e-4
MAX_BOX_DIFFERENCE_PX = 0.01
MAX_IMAGES = 64

Float32 = npt.NDArray[np.float32]
Network = Callable[[Float32], tuple[Float32, Float32]]
"""From one image, float32 [3,H,W] BGR 0-255, to coverage [C,GH,GW] and bboxes [4,GH,GW]."""


class BadParityFile(ValueError):
    """The stored images and outputs cannot be read or do not fit each other."""


@dataclass(frozen=True)
class ParityImages:
    """Validation images at the network's size with PyTorch's raw outputs."""

    images: npt.NDArray[np.uint8]
    """uint8 [n,H,W,3] BGR."""
    coverage: Float32
    """[n,C,GH,GW], after the sigmoid."""
    bboxes: Float32
    """[n,4,GH,GW], pixels relative to each cell's top-left corner."""


@dataclass(frozen=True)
class Parity:
    """Largest differences from PyTorch over all images and cells."""

    images: int
    coverage: float
    boxes_px: float
    onnx_coverage: float
    onnx_boxes_px: float
    ssd_scores: float = 0.0
    ssd_boxes_px: float = 0.0

    def broken_limits(self) -> list[str]:
        """One sentence for each difference that is too large (or no number); empty when parity holds."""
        checks = [
            ("OpenCV's coverage", self.coverage, MAX_COVERAGE_DIFFERENCE, ""),
            ("OpenCV's boxes", self.boxes_px, MAX_BOX_DIFFERENCE_PX, " px"),
            ("onnxruntime's coverage", self.onnx_coverage, MAX_COVERAGE_DIFFERENCE, ""),
            ("onnxruntime's boxes", self.onnx_boxes_px, MAX_BOX_DIFFERENCE_PX, " px"),
            ("the SSD networks' scores", self.ssd_scores, MAX_COVERAGE_DIFFERENCE, ""),
            ("the SSD networks' boxes", self.ssd_boxes_px, MAX_BOX_DIFFERENCE_PX, " px"),
        ]
        return [
            f"{what} differ from PyTorch's by up to {value:.3g}{unit}; the limit is {limit:g}{unit}."
            for what, value, limit, unit in checks
            if not value <= limit  # Also true for NaN.
        ]

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON; one that is no number is None."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def load_parity_images(content: bytes) -> ParityImages:
    """Read ``parity.npz``. Raises BadParityFile."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = ParityImages(arrays["images"], arrays["coverage"], arrays["bboxes"])
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise BadParityFile(f"parity.npz cannot be read: {error}") from error
    _require_fit(found)
    return found


def _require_fit(found: ParityImages) -> None:
    count = len(found.images)
    shapes = (found.images.shape, found.coverage.shape, found.bboxes.shape)
    fits = (
        found.images.dtype == np.uint8
        and found.images.ndim == found.coverage.ndim == found.bboxes.ndim == 4
        and found.images.shape[3] == 3
        and found.bboxes.shape[1] == 4
        and len(found.coverage) == len(found.bboxes) == count
        and found.coverage.shape[2:] == found.bboxes.shape[2:]
        and 0 < count <= MAX_IMAGES
    )
    if not fits:
        raise BadParityFile(f"parity.npz holds arrays that do not belong together: {shapes}.")


def network_input(image_bgr: npt.NDArray[np.uint8]) -> Float32:
    """An image [H,W,3] as the network takes it: float32 [3,H,W], 0-255; the network subtracts the mean."""
    return np.ascontiguousarray(image_bgr.transpose(2, 0, 1), dtype=np.float32)


def measure_parity(stored: ParityImages, caffe: Network, onnx: Network) -> Parity:
    """Run both networks on all stored images."""
    caffe_coverage, caffe_boxes = _largest_differences(stored, caffe)
    onnx_coverage, onnx_boxes = _largest_differences(stored, onnx)
    return Parity(len(stored.images), caffe_coverage, caffe_boxes, onnx_coverage, onnx_boxes)


def _largest_differences(stored: ParityImages, network: Network) -> tuple[float, float]:
    differences = []
    for image, coverage, bboxes in zip(stored.images, stored.coverage, stored.bboxes, strict=True):
        own_coverage, own_bboxes = network(network_input(image))
        differences.append((_largest(own_coverage, coverage), _largest(own_bboxes, bboxes)))
    # numpy's maximum, unlike Python's, lets a NaN through.
    largest = np.max(np.array(differences), axis=0)
    return float(largest[0]), float(largest[1])


def _largest(computed: Float32, expected: Float32) -> float:
    if computed.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(computed.astype(np.float64) - expected), initial=0.0))
