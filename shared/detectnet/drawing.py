"""Boxes drawn on pictures, and pictures as PNG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.images import Image

FloatArray = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (80, 220, 80), (60, 160, 255), (255, 180, 60), (200, 80, 255),
    (60, 230, 230), (255, 110, 160), (160, 255, 160), (120, 120, 255),
)  # fmt: skip
"""B,G,R; a class beyond the last one begins again."""


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


def encode_png(image: Image) -> bytes:
    """The picture as a PNG file."""
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise ValueError("the picture cannot be written as PNG")
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
