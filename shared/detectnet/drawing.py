"""Boxes drawn on pictures, and pictures as PNG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.coverage import COVERAGE_START
from detectnet.images import Image

FloatArray = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (80, 220, 80), (60, 160, 255), (255, 180, 60), (200, 80, 255),
    (60, 230, 230), (255, 110, 160), (160, 255, 160), (120, 120, 255),
)  # fmt: skip
"""B,G,R; a class beyond the last one begins again."""
GRID_COLOUR: Colour = (160, 160, 160)
FAR_PX = 30_000
"""Corners are cut here: labels may hold any number, drawing takes 16 bits."""


def draw_boxes(
    image: Image,
    boxes_xyxy: FloatArray | Sequence[Sequence[float]],
    labels: Sequence[str],
    scores: Sequence[float] | None = None,
    class_indices: Sequence[int] | None = None,
    thickness: int = 2,
) -> Image:
    """A copy of the picture with boxes [n,4] in its own pixels, each with its label (and score)."""
    drawn = image.copy()
    for index, (box, label) in enumerate(zip(np.asarray(boxes_xyxy).reshape(-1, 4), labels, strict=True)):
        colour = PALETTE[(class_indices[index] if class_indices is not None else 0) % len(PALETTE)]
        left, top, right, bottom = (round(float(value)) for value in box)
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
        text = label if scores is None else f"{label} {scores[index]:.2f}"
        _write(drawn, text, left, top, colour)
    return drawn


def draw_grid(
    image: Image,
    targets: FloatArray,
    boxes_xyxy: FloatArray,
    class_indices: npt.NDArray[np.int64],
    names: Sequence[str],
    stride: int,
) -> Image:
    """The network's input with its grid, the cells that each class covers, and its boxes.

    ``targets`` [8+C,GH,GW] are those of ``boxes_xyxy`` [n,4]; boxes of class -1 are drawn grey.
    """
    drawn = image.copy()
    for index, covered in enumerate(targets[COVERAGE_START:]):
        cells = np.kron(covered > 0, np.ones((stride, stride), np.bool_)).astype(np.bool_)
        tint = np.array(PALETTE[index % len(PALETTE)], np.float32)
        drawn[cells] = np.rint(0.5 * drawn[cells] + 0.5 * tint).astype(np.uint8)
    lines = np.zeros(drawn.shape[:2], np.bool_)
    lines[::stride], lines[:, ::stride] = True, True
    drawn[lines] = np.rint(0.6 * drawn[lines] + 0.4 * np.array(GRID_COLOUR)).astype(np.uint8)
    for box, index in zip(boxes_xyxy, class_indices, strict=True):
        left, top, right, bottom = (round(float(min(max(side, -FAR_PX), FAR_PX))) for side in box)
        colour = PALETTE[index % len(PALETTE)] if index >= 0 else GRID_COLOUR
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, 1, cv2.LINE_AA)
        _write(drawn, names[index] if index >= 0 else "dontcare", left, top, colour)
    return drawn


def encode_png(image: Image) -> bytes:
    """The picture as a PNG file."""
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise ValueError("the picture cannot be written as PNG")
    return bytes(encoded.tobytes())


def shrink_to_jpeg(image: Image, side: int) -> bytes:
    """The picture as JPEG, both sides at most ``side`` pixels; a smaller one keeps its size."""
    height, width = image.shape[:2]
    scale = min(side / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise ValueError("the picture cannot be written as JPEG")
    return bytes(encoded.tobytes())


def _write(image: Image, text: str, left: int, top: int, colour: Colour) -> None:
    if not text:
        return
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    (width, height), below = cv2.getTextSize(text, font, scale, 1)
    x = min(max(left, 0), max(image.shape[1] - width, 0))
    y = top - 3 if top - height - below >= 0 else top + height + below
    cv2.rectangle(image, (x, y - height - below // 2), (x + width, y + below), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (x, y), font, scale, colour, 1, cv2.LINE_AA)
