"""Pictures and boxes at the network's size: decoded once into a cache on disk, then read as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap, UnknownClass
from detectnet.coverage import writing_order
from detectnet.images import IMAGE_SUFFIXES, ImageError, decode_image, pad_image, resize_image, scale_boxes
from detectnet.kitti import KittiObject, LabelError, parse_label

FloatArray = npt.NDArray[np.float32]

DECODERS = 2
CHUNK_IMAGES = 64


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


@dataclass(frozen=True)
class Split:
    """All pictures of training or validation, in order of their names."""

    images: npt.NDArray[np.uint8]
    """[n,H,W,3] B,G,R; may be a file mapped into memory."""
    boxes: list[FloatArray]
    """For each picture [m,4] x1,y1,x2,y2 in pixels of the network's input, in writing order."""
    class_indices: list[npt.NDArray[np.int64]]
    """For each picture [m]; -1 is don't care."""

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.images)

    @property
    def box_count(self) -> int:
        """Objects that are not don't care."""
        return sum(int((indices >= 0).sum()) for indices in self.class_indices)


def read_kitti_folder(folder: Path) -> Iterator[SourceImage]:
    """Labelled pictures of a folder with ``images`` and ``labels``, by name.

    Raises:
        BadData: a folder or a label is missing.
    """
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise BadData(f"{folder} needs the folders images and labels")
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise BadData(f"{images} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    for path in paths:
        label = labels / f"{path.stem}.txt"
        if not label.is_file():
            raise BadData(f"{path.name} has no label file {label}")
        yield SourceImage(path.name, path.read_bytes(), label.read_text())


def class_names_of_folder(folder: Path) -> list[str]:
    """All types that the labels below a dataset's folder name, without dontcare, sorted. Raises BadData."""
    types: set[str] = set()
    for path in sorted(folder.glob("*/labels/*.txt")):
        try:
            types |= {item.type for item in parse_label(path.read_text(), path.name)}
        except LabelError as error:
            raise BadData(str(error)) from error
    try:
        return list(ClassMap.of_types(types).names)
    except ValueError as error:
        raise BadData(f"{folder} has no labelled object: {error}") from error


def build_split(sources: Iterable[SourceImage], count: int, options: InputOptions, cache: Path) -> Split:
    """Decode, pad and resize ``count`` pictures into the new file ``cache``, then map it.

    Raises:
        BadData: a picture or label cannot be used, or there are not ``count`` of them.
    """
    shape = (count, options.height, options.width, 3)
    images = np.lib.format.open_memmap(cache, mode="w+", dtype=np.uint8, shape=shape)
    boxes: list[FloatArray] = []
    indices: list[npt.NDArray[np.int64]] = []
    iterator = iter(sources)
    with ThreadPoolExecutor(DECODERS) as pool:
        while chunk := list(itertools.islice(iterator, CHUNK_IMAGES)):
            for image, image_boxes, image_indices in pool.map(lambda item: prepare(item, options), chunk):
                if len(boxes) == count:
                    raise BadData(f"there are more than the expected {count} pictures")
                images[len(boxes)] = image
                boxes.append(image_boxes)
                indices.append(image_indices)
    if len(boxes) != count:
        raise BadData(f"there are {len(boxes)} pictures where {count} were expected")
    images.flush()
    del images
    return Split(np.load(cache, mmap_mode="r"), boxes, indices)


def build_folder_split(folder: Path, size: tuple[int, int], classes: ClassMap, cache: Path) -> Split:
    """A KITTI folder's pictures at a size (width, height), in the new file ``cache``. Raises BadData."""
    count = sum(1 for path in (folder / "images").rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return build_split(read_kitti_folder(folder), count, InputOptions(*size, classes), cache)


def prepare(
    source: SourceImage, options: InputOptions
) -> tuple[npt.NDArray[np.uint8], FloatArray, npt.NDArray[np.int64]]:
    """One picture [H,W,3], its boxes [m,4] and class indices [m] at the network's size. Raises BadData."""
    try:
        image = decode_image(source.image)
        if options.pad is not None:
            image = pad_image(image, *options.pad)
        objects = parse_label(source.label, f"{Path(source.name).stem}.txt")
        indices = [_class_index(item, options) for item in objects]
    except (ImageError, LabelError, UnknownClass) as error:
        raise BadData(f"{source.name}: {error}") from error
    order = writing_order(objects)
    boxes = np.array([objects[index].xyxy for index in order], np.float32).reshape(-1, 4)
    size = (image.shape[1], image.shape[0])
    scaled = scale_boxes(boxes, size, (options.width, options.height))
    ordered = np.array([indices[index] for index in order], np.int64)
    return resize_image(image, options.width, options.height), scaled, ordered


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


def _class_index(item: KittiObject, options: InputOptions) -> int:
    index = options.classes.index_of(item.type)
    left, top, right, bottom = item.xyxy
    too_small = min(right - left, bottom - top) < options.min_box_size
    return -1 if index is None or too_small else index
