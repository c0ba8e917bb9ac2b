"""The picture at the end of a run: validation pictures side by side, labels dashed, detections in colour."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from detectnet.drawing import PALETTE
from detectnet.images import Image
from periscope_embedded.judging import JudgedPicture

TILE_WIDTH = 360
GAP = 8
CAPTION_HEIGHT = 22
TITLE_HEIGHT = 62
DASH = 7
BACKGROUND = (38, 32, 28)
WHITE, GREY, BLACK = (255, 255, 255), (180, 175, 170), (0, 0, 0)
FONT = cv2.FONT_HERSHEY_SIMPLEX

Colour = tuple[int, int, int]


def contact_sheet(
    judged: Sequence[JudgedPicture], labels: Sequence[str], title: str, subtitle: str, columns: int = 4
) -> Image:
    """Draw the sheet, uint8 [H,W,3] BGR. All tiles have the first picture's shape.

    Raises:
        ValueError: there is no picture to show.
    """
    if not judged:
        raise ValueError("there is no picture to show")
    columns = min(columns, len(judged))
    first = judged[0].picture.image
    tile_height = round(TILE_WIDTH * first.shape[0] / first.shape[1])
    tiles = [_tile(item, labels, tile_height) for item in judged]
    rows = -(-len(tiles) // columns)
    cell_width, cell_height = TILE_WIDTH + GAP, tile_height + CAPTION_HEIGHT + GAP
    sheet = np.empty((TITLE_HEIGHT + rows * cell_height, GAP + columns * cell_width, 3), np.uint8)
    sheet[:] = BACKGROUND
    _write(sheet, title, (GAP + 2, 26), 0.72, WHITE)
    _write(sheet, subtitle, (GAP + 2, 50), 0.45, GREY)
    _legend(sheet, labels)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = TITLE_HEIGHT + row * cell_height, GAP + column * cell_width
        sheet[top : top + tile.shape[0], left : left + TILE_WIDTH] = tile
    return sheet


def _tile(item: JudgedPicture, labels: Sequence[str], tile_height: int) -> Image:
    """One picture with its boxes and a caption below."""
    image = item.picture.image
    shape = (image.shape[0], image.shape[1])
    how = cv2.INTER_AREA if shape[1] > TILE_WIDTH else cv2.INTER_CUBIC
    resized = cv2.resize(image, (TILE_WIDTH, tile_height), interpolation=how)
    tile = np.empty((tile_height + CAPTION_HEIGHT, TILE_WIDTH, 3), np.uint8)
    tile[:] = BACKGROUND
    tile[:tile_height] = resized
    drawn = tile[:tile_height]
    for found in item.picture.objects:
        if found.type in labels:
            _dashed_box(drawn, _scaled(found.xyxy, shape, tile_height))
    for detection in item.detections:
        name = labels[detection.class_index]
        box = _scaled(detection.xyxy, shape, tile_height)
        _solid_box(drawn, box, f"{name} {detection.confidence:.2f}", _colour(detection.class_index))
    _write(tile, item.picture.name, (2, tile_height + 15), 0.4, GREY)
    return tile


def _scaled(xyxy: Sequence[float], shape: tuple[int, int], tile_height: int) -> tuple[int, int, int, int]:
    x, y = TILE_WIDTH / shape[1], tile_height / shape[0]
    left, top, right, bottom = xyxy
    return (
        min(max(round(left * x), 0), TILE_WIDTH - 1),
        min(max(round(top * y), 0), tile_height - 1),
        min(max(round(right * x), 0), TILE_WIDTH - 1),
        min(max(round(bottom * y), 0), tile_height - 1),
    )


def _dashed_box(image: Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 2 * DASH):
        end = min(x + DASH, right)
        for y in (top, bottom):
            cv2.line(image, (x, y), (end, y), WHITE, 1)
    for y in range(top, bottom, 2 * DASH):
        end = min(y + DASH, bottom)
        for x in (left, right):
            cv2.line(image, (x, y), (x, end), WHITE, 1)


def _solid_box(image: Image, box: tuple[int, int, int, int], text: str, colour: Colour) -> None:
    left, top, right, bottom = box
    cv2.rectangle(image, (left, top), (right, bottom), colour, 2, cv2.LINE_AA)
    (width, height), below = cv2.getTextSize(text, FONT, 0.42, 1)
    x = min(max(left, 0), max(image.shape[1] - width - 4, 0))
    y = top if top - height - below - 4 < 0 else top - height - below - 4
    cv2.rectangle(image, (x, y), (x + width + 4, y + height + below + 3), colour, cv2.FILLED)
    _write(image, text, (x + 2, y + height + 2), 0.42, BLACK)


def _legend(sheet: Image, labels: Sequence[str]) -> None:
    x = sheet.shape[1] - GAP
    entries: list[tuple[str, Colour | None]] = [("label", None)]
    entries += [(name, _colour(index)) for index, name in reversed(list(enumerate(labels)))]
    for text, colour in entries:
        (width, _), _ = cv2.getTextSize(text, FONT, 0.45, 1)
        x -= width
        _write(sheet, text, (x, 26), 0.45, WHITE)
        x -= 26
        if colour is None:
            _dashed_box(sheet, (x, 14, x + 20, 28))
        else:
            cv2.rectangle(sheet, (x, 14), (x + 20, 28), colour, 2, cv2.LINE_AA)
        x -= 14


def _colour(index: int) -> Colour:
    return PALETTE[index % len(PALETTE)]


def _write(image: Image, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
    cv2.putText(image, text, at, FONT, scale, colour, 1, cv2.LINE_AA)
