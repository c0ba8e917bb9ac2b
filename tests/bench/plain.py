"""DetectNet as one writes it down from its description first: loops over cells, PIL, full precision, torch's own
layers. The other side of the comparisons; it computes the same."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pictures
from torch import Tensor
from torch.nn import functional

from detectnet import network
from detectnet_trainer.augment import Draws
from detectnet_trainer.model import DetectNet

FloatArray = npt.NDArray[np.float32]
STRIDE, KEPT, SHORTEST = 16, 0.4, 20.0


class PlainDetectNet(DetectNet):
    """The same layers with torch's own normalisation."""

    def _step(self, layer: network.Layer, below: Tensor) -> Tensor:
        if isinstance(layer, network.Normalisation):
            return functional.local_response_norm(
                below, network.LRN_SIZE, network.LRN_ALPHA, network.LRN_BETA, network.LRN_K
            )
        return super()._step(layer, below)


def encode(
    boxes: FloatArray, classes: npt.NDArray[np.int64], width: int, height: int, count: int
) -> FloatArray:
    """Targets [8+C,GH,GW], one box and one cell after the other."""
    targets = np.zeros((8 + count, height // STRIDE, width // STRIDE), np.float32)
    for (x1, y1, x2, y2), label in zip(boxes.astype(np.float64), classes, strict=True):
        box_width, box_height = x2 - x1, y2 - y1
        if label < 0 or box_width <= 0 or box_height <= 0:
            continue
        wide = min(box_width, max(SHORTEST, KEPT * box_width))
        high = min(box_height, max(SHORTEST, KEPT * box_height))
        left, top = (x1 + x2 - wide) / 2, (y1 + y2 - high) / 2
        for row in range(targets.shape[1]):
            for column in range(targets.shape[2]):
                cell_x, cell_y = column * STRIDE, row * STRIDE
                overlap_x = min(left + wide, cell_x + STRIDE) - max(left, cell_x)
                overlap_y = min(top + high, cell_y + STRIDE) - max(top, cell_y)
                if overlap_x <= 0 or overlap_y <= 0 or overlap_x * overlap_y / STRIDE**2 <= 1.19e-7:
                    continue
                cell = targets[:, row, column]
                cell[0] = 1
                cell[1:5] = x1 - cell_x, y1 - cell_y, x2 - cell_x, y2 - cell_y
                cell[5:7] = 1 / box_width, 1 / box_height
                cell[7] = STRIDE**2 / (wide * high)
                cell[8:] = 0
                cell[8 + label] = 1
    return targets


def augment(image: npt.NDArray[np.uint8], draws: Draws) -> FloatArray:
    """The drawn changes by PIL. Colours move in steps of 8 bits, as PIL has no others."""
    height, width = image.shape[:2]
    picture = Pictures.fromarray(image[:, :, ::-1])
    hue, saturation, value = picture.convert("HSV").split()
    hue = hue.point(lambda level: int(level + draws.hue_degrees * 256 / 360) % 256)
    saturation = saturation.point(lambda level: int(level * draws.saturation))
    picture = Pictures.merge("HSV", (hue, saturation, value)).convert("RGB")
    if draws.flip:
        picture = picture.transpose(Pictures.Transpose.FLIP_LEFT_RIGHT)
    if draws.scaled_size != (width, height):
        picture = picture.resize(draws.scaled_size, Pictures.Resampling.BICUBIC)
    canvas = Pictures.new("RGB", (width, height), (127, 127, 127))
    canvas.paste(picture, (-draws.offset[0], -draws.offset[1]))
    return np.asarray(canvas, np.float32)[:, :, ::-1]


def cluster(coverage: FloatArray, bboxes: FloatArray) -> list[list[list[float]]]:
    """Boxes of each class, cell by cell; the grouping itself is OpenCV's, as in DIGITS."""
    found = []
    for channel in coverage:
        votes = []
        for row in range(channel.shape[0]):
            for column in range(channel.shape[1]):
                if channel[row, column] >= 0.6:
                    x1, y1, x2, y2 = bboxes[:, row, column]
                    left, top = x1 + column * STRIDE, y1 + row * STRIDE
                    votes.append([round(float(v)) for v in (left, top, x2 - x1, y2 - y1)])
        grouped, weights = cv2.groupRectangles(votes, 2, 0.02) if votes else ((), ())
        found.append(
            [
                [x, y, x + w, y + h, math.log(weight)]
                for (x, y, w, h), weight in zip(grouped, weights, strict=True)
                if h >= 22
            ]
        )
    return found


def losses(coverage: Tensor, bboxes: Tensor, targets: Tensor) -> Tensor:
    """Both losses with their weights."""
    mask, wanted, size, norm, truth = torch.split(targets, [1, 4, 2, 1, coverage.shape[1]], dim=1)
    scale = torch.cat([size, size], dim=1) * torch.cat([norm] * 4, dim=1)
    masked = bboxes * torch.cat([mask] * 4, dim=1)
    bbox = (masked * scale - wanted * scale).abs().sum() / len(targets)
    return 2 * bbox + ((coverage - truth) ** 2).sum() / (2 * len(targets))
