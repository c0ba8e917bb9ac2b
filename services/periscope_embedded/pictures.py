"""Where the pictures of a run come from: the synthetic sea, or the user's own KITTI folder."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from detectnet.images import IMAGE_SUFFIXES, Image, ImageError, decode_image
from detectnet.kitti import KittiObject, LabelError, parse_label
from detectnet.sizes import STRIDE
from periscope_cli.packing import NotKitti, find_kitti
from periscope_embedded import underwater

SYNTHETIC_NAME = "underwater"
LARGEST_AREA = 416 * 416
"""Of the network's input, in pixels, where the user names no size: what two processor cores can train."""


class UnusableData(Exception):
    """The folder, or a class that was asked for, is not there; the text says what is."""


@dataclass(frozen=True)
class Source:
    """A KITTI folder to push, and what to call it."""

    name: str
    """Of the dataset and the model."""
    folder: Path
    size: tuple[int, int]
    """The network's input, width and height."""
    size_note: str
    """Why this size, where nobody asked for it."""
    fingerprint: str
    """Differs when the pictures or labels differ."""


@dataclass(frozen=True)
class LabelledPicture:
    """One validation picture with its labels."""

    name: str
    image: Image
    objects: tuple[KittiObject, ...]


def synthetic_source(
    home: Path,
    size: tuple[int, int],
    images: tuple[int, int],
    classes: list[str] | None,
    on_progress: Callable[[int, int], None],
) -> Source:
    """Generate the synthetic sea, or take what an earlier run with the same wishes generated.

    ``images`` counts training and validation pictures. Raises UnusableData for classes that it lacks.
    """
    kinds = classes or list(underwater.CLASSES)
    unknown = sorted(set(kinds) - set(underwater.CLASSES))
    if unknown:
        known = " and ".join(underwater.CLASSES)
        raise UnusableData(
            f"the synthetic pictures have {known}, not {', '.join(unknown)}; give DATA= for others"
        )
    wish = "-".join([f"{size[0]}x{size[1]}", str(images[0]), str(images[1]), *sorted(set(kinds))])
    folder = home / f"{SYNTHETIC_NAME}-{wish}"
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        underwater.write_dataset(
            draft,
            train_images=images[0],
            val_images=images[1],
            width=size[0],
            height=size[1],
            kinds=sorted(set(kinds)),
            on_progress=on_progress,
        )
        draft.replace(folder)
    return Source(SYNTHETIC_NAME, folder, size, "", wish)


def folder_source(folder: Path, size: tuple[int, int] | None) -> Source:
    """The user's own folder. Raises UnusableData when it is no KITTI folder."""
    try:
        found = find_kitti(folder)
    except NotKitti as error:
        raise UnusableData(str(error)) from error
    note = ""
    if size is None:
        first = _first_image(folder)
        own = (first.shape[1], first.shape[0])
        size = network_size(own)
        note = f"pictures have {own[0]}x{own[1]}; SIZE=WxH chooses another"
    listing = hashlib.sha256()
    for path in found.files:
        stat = path.stat()
        listing.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return Source(_model_name(folder), folder, size, note, listing.hexdigest())


def network_size(picture: tuple[int, int]) -> tuple[int, int]:
    """A legal input of about a picture's shape that is not larger than LARGEST_AREA, nor than the picture."""
    shrink = min(1.0, (LARGEST_AREA / (picture[0] * picture[1])) ** 0.5)
    width, height = (max(int(side * shrink / STRIDE), 2) * STRIDE for side in picture)
    return width, height


def load_validation(folder: Path, limit: int) -> list[LabelledPicture]:
    """At most ``limit`` validation pictures, evenly spread, that can be read and have a label file."""
    images, labels = folder / "val" / "images", folder / "val" / "labels"
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    step = max(len(paths) / limit, 1.0)
    chosen = [paths[int(index * step)] for index in range(min(len(paths), limit))]
    found = []
    for path in chosen:
        label = (labels / path.relative_to(images)).with_suffix(".txt")
        try:
            objects = parse_label(label.read_text(), label.name)
            found.append(LabelledPicture(path.name, decode_image(path.read_bytes()), tuple(objects)))
        except (OSError, LabelError, ImageError):
            continue  # The ingest has told about it already.
    return found


def _first_image(folder: Path) -> Image:
    for path in sorted((folder / "train" / "images").rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            try:
                return decode_image(path.read_bytes())
            except ImageError:
                continue
    raise UnusableData(f"{folder / 'train' / 'images'} holds no picture that can be read")


def _model_name(folder: Path) -> str:
    """The folder's name in the letters that a model's name may have."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    return name[:60] or "data"
