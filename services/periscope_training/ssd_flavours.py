"""The networks for jetson-inference's ONNX path: made from the grid network, run as the robot runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet import bundle
from detectnet.jetson import JetsonDetection, decode_ssd, preprocess_ssd
from detectnet.sizes import STRIDE
from detectnet.ssd_onnx import BOXES, INPUT, SCORES, NotAGrid, Rank, ssd_onnx
from periscope_training.networks import BrokenNetwork, Session
from periscope_training.parity import Float32, ParityImages

RANKS: Mapping[str, Rank] = {"trt8": 3, "trt10": 2}


@dataclass(frozen=True)
class SsdFlavour:
    """One flavour's file, and that file at work."""

    content: bytes
    session: Session

    def run(self, image: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Scores [N,C+1] and boxes [N,4] of an image [H,W,3] BGR. Raises BrokenNetwork."""
        (_, _, height, width) = self.session.input_shape(INPUT)
        given = preprocess_ssd(image, width, height)[None]
        scores, boxes = self.session.run([SCORES, BOXES], {INPUT: given})
        return scores.reshape(-1, scores.shape[-1]), boxes.reshape(-1, 4)

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[JetsonDetection, ...]:
        """What the robot finds in the image. Raises BrokenNetwork."""
        scores, boxes = self.run(image)
        return tuple(decode_ssd(scores, boxes, image_size=(image.shape[1], image.shape[0])))


def ssd_flavours(grid: bytes) -> dict[str, SsdFlavour]:
    """Both flavours of a grid network. Raises BrokenNetwork."""
    try:
        contents = {name: ssd_onnx(grid, rank) for name, rank in RANKS.items()}
    except (NotAGrid, ValueError) as error:
        raise BrokenNetwork(f"grid.onnx cannot be made into an SSD network: {error}") from error
    return {
        name: SsdFlavour(content, Session(content, bundle.SSD_ONNX[name]))
        for name, content in contents.items()
    }


def ssd_differences(stored: ParityImages, flavour: SsdFlavour) -> tuple[float, float]:
    """How far the flavour is from PyTorch at most: in the surest cell of each class, and in pixels of boxes.

    Which cells are silenced beside the surest one depends on digits that the stored coverage no longer has.
    """
    differences = []
    for image, coverage, bboxes in zip(stored.images, stored.coverage, stored.bboxes, strict=True):
        scores, boxes = flavour.run(image)
        surest = np.abs(scores[:, 1:].max(axis=0) - coverage.max(axis=(1, 2)))
        above = scores[:, 1:] - coverage.reshape(len(coverage), -1).T
        extent = np.array([image.shape[1], image.shape[0]] * 2, np.float64)
        expected = np.clip(_absolute(bboxes), 0, extent)
        differences.append((max(surest.max(), above.max()), np.abs(boxes * extent - expected).max()))
    largest = np.max(np.array(differences), axis=0)
    return float(largest[0]), float(largest[1])


def _absolute(bboxes: Float32) -> npt.NDArray[np.float64]:
    """Corners [N,4] in pixels of the network's input, from bboxes [4,GH,GW]."""
    ys, xs = np.mgrid[: bboxes.shape[1], : bboxes.shape[2]] * STRIDE
    return np.asarray((bboxes + np.stack([xs, ys, xs, ys])).reshape(4, -1).T, np.float64)
