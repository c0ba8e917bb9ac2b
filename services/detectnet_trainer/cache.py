"""Keeps a decoded split on disk, so that a second start on the same data need not decode it again.

A split is two files: ``<name>.npy`` with the pictures, mapped into memory, and ``<name>.npz`` with the boxes
and with what it was made of. The second is written last: without it the first does not count.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from detectnet.samples import InputOptions
from detectnet_trainer.checkpoint import write_durably
from detectnet_trainer.dataset import Split

LAYOUT = 1
"""Counts up when the preparation of pictures changes."""


def identity_of(options: InputOptions, sources: Sequence[str]) -> str:
    """Equal for equal options and equal ``sources``, the hashes of what is decoded, in order."""
    described = {**asdict(options), "classes": options.classes.names, "sources": sources, "layout": LAYOUT}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def open_split(cache: Path, identity: str) -> Split | None:
    """The split that was saved under this identity, or None where there is none or it is not whole."""
    try:
        # Opened here: numpy leaves a damaged file open.
        with cache.with_suffix(".npz").open("rb") as file, np.load(file) as saved:
            if str(saved["identity"]) != identity:
                return None
            marks = np.cumsum(saved["counts"])[:-1]
            boxes = np.split(saved["boxes"], marks)
            class_indices = np.split(saved["class_indices"], marks)
        images = np.load(cache.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Split(images, boxes, class_indices) if len(images) == len(boxes) else None


def save_split(split: Split, cache: Path, identity: str) -> Split:
    """Move a fresh split's pictures to ``cache`` and write its boxes beside them; return it as it lies there.

    The pictures must be a file mapped into memory, on the same disk as ``cache``.
    """
    if not isinstance(split.images, np.memmap) or split.images.filename is None:
        raise TypeError("only a split whose pictures are a file can be saved")
    described = cache.with_suffix(".npz")
    described.unlink(missing_ok=True)
    Path(split.images.filename).replace(cache.with_suffix(".npy"))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        identity=np.array(identity),
        counts=np.array([len(boxes) for boxes in split.boxes], np.int64),
        boxes=np.concatenate(split.boxes),
        class_indices=np.concatenate(split.class_indices),
    )
    write_durably(described, buffer.getvalue())
    return split
