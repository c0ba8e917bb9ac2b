"""Pictures and boxes at the network's size: decoded once into a cache on disk, then read as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap
from detectnet.images import IMAGE_SUFFIXES
from detectnet.kitti import LabelError, parse_label
from detectnet.samples import BadData, InputOptions, SourceImage, prepare

FloatArray = npt.NDArray[np.float32]

DECODERS = 2
CHUNK_IMAGES = 64


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
