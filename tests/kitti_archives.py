"""Small KITTI archives for tests, sound ones and broken ones."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

LABEL = "{type} 0.00 0 0.00 {x1} {y1} {x2} {y2} 0 0 0 0 0 0 0\n"

Files = dict[str, bytes]
BOXES = ((4, 4, 31, 40), (34, 4, 62, 40))
"""Apart, or one object would hide the other in the grid."""


def picture(seed: int = 0, width: int = 64, height: int = 48, suffix: str = ".png") -> bytes:
    """A picture's file; equal arguments give equal bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    done, encoded = cv2.imencode(suffix, cv2.resize(pixels, (width, height)))
    assert done
    return encoded.tobytes()


def label(kind: str = "buoy", box: tuple[float, float, float, float] = (4, 4, 40, 40)) -> bytes:
    """One labelled object."""
    x1, y1, x2, y2 = box
    return LABEL.format(type=kind, x1=x1, y1=y1, x2=x2, y2=y2).encode()


def sound_files(train: int = 4, val: int = 2, kinds: tuple[str, ...] = ("buoy", "gate")) -> Files:
    """A data set that has nothing wrong."""
    files: Files = {}
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            files[f"{split}/images/{number:03d}.png"] = picture(number + 100 * (split == "val"))
            files[f"{split}/labels/{number:03d}.txt"] = b"".join(
                label(kind, BOXES[index % len(BOXES)]) for index, kind in enumerate(kinds)
            )
    return files


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """The files as they lie in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def as_zip(files: Mapping[str, bytes]) -> bytes:
    """The files as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """The files as a tar, or with ``w:gz`` as a tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload] # the mode is a variable
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
