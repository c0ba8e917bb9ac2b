"""A labelled picture as it came, and as the network takes it: padded, resized, its boxes in writing order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap, UnknownClass
from detectnet.coverage import writing_order
from detectnet.images import ImageError, decode_image, pad_image, resize_image, scale_boxes
from detectnet.kitti import KittiObject, LabelError, parse_label

FloatArray = npt.NDArray[np.float32]


class BadData(ValueError):
    """A picture or label cannot be used; the text names the file."""


@dataclass(frozen=True)
class SourceImage:
    """One labelled picture as it came: file bytes and label text."""

    name: str
    image: bytes
    label: str


@dataclass(frozen=True)
class InputOptions:
    """How pictures become network input."""

    width: int
    height: int
    classes: ClassMap
    pad: tuple[int, int] | None = None
    """Width and height to pad to before the resize, or None."""
    min_box_size: float = 0.0
    """Objects narrower or lower than this, in pixels of the file, become don't care."""


def input_options(spec: Mapping[str, Any], *, validation: bool) -> InputOptions:
    """From a job's spec; the minimum box size counts for validation only."""
    network, dataset = spec["network"], spec.get("options_of_dataset") or {}
    pad = dataset.get("pad")
    return InputOptions(
        width=network["width"],
        height=network["height"],
        classes=ClassMap(network["classes"]),
        pad=(pad["width"], pad["height"]) if pad else None,
        min_box_size=float(dataset.get("val_min_box_size") or 0) if validation else 0.0,
    )


def prepare(
    source: SourceImage, options: InputOptions
) -> tuple[npt.NDArray[np.uint8], FloatArray, npt.NDArray[np.int64]]:
    """One picture [H,W,3], its boxes [m,4] and class indices [m] at the network's size. Raises BadData."""
    try:
        image = decode_image(source.image)
        if options.pad is not None:
            image = pad_image(image, *options.pad)
        boxes, indices = _objects(source, options)
    except (ImageError, LabelError, UnknownClass) as error:
        raise BadData(f"{source.name}: {error}") from error
    size = (image.shape[1], image.shape[0])
    scaled = scale_boxes(boxes, size, (options.width, options.height))
    return resize_image(image, options.width, options.height), scaled, indices


def labelled_boxes(source: SourceImage, options: InputOptions) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Boxes [m,4] in pixels of the file and class indices [m], -1 for don't care, in writing order.

    Raises BadData.
    """
    try:
        return _objects(source, options)
    except (LabelError, UnknownClass) as error:
        raise BadData(f"{source.name}: {error}") from error


def _objects(source: SourceImage, options: InputOptions) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    objects = parse_label(source.label, f"{Path(source.name).stem}.txt")
    order = writing_order(objects)
    indices = [_class_index(item, options) for item in objects]
    boxes = np.array([objects[index].xyxy for index in order], np.float32).reshape(-1, 4)
    return boxes, np.array([indices[index] for index in order], np.int64)


def _class_index(item: KittiObject, options: InputOptions) -> int:
    index = options.classes.index_of(item.type)
    left, top, right, bottom = item.xyxy
    too_small = min(right - left, bottom - top) < options.min_box_size
    return -1 if index is None or too_small else index
