"""Recognises KITTI folders in the names of an archive's members, whatever folder they lie in."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from detectnet.images import IMAGE_SUFFIXES

SPLITS = ("train", "val")
ALL_SPLITS = (*SPLITS, "test")
"""A test set may be there, with labels or without."""
KINDS = ("images", "labels")
LABEL_SUFFIX = ".txt"
SPLIT_WORDS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val", "eval": "val",
    "test": "test", "testing": "test", "testset": "test",
}  # fmt: skip
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What operating systems put into archives unasked."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member belongs."""

    root: str
    """The folder that holds ``train`` and ``val``; empty at the top."""
    split: str
    kind: str
    """``images`` or ``labels``."""
    key: str | None
    """The file's stem, which joins a picture with its label; None for a file of neither sort."""


def is_junk(path: str) -> bool:
    """Whether an operating system made it."""
    return any(part in JUNK or part.startswith("._") for part in PurePosixPath(path).parts)


def place_of(path: str) -> Place | None:
    """Where a member belongs, or None for what lies outside the folders of the data set."""
    parts = PurePosixPath(path).parts
    if is_junk(path):
        return None
    for index in range(len(parts) - 2):
        if parts[index] in ALL_SPLITS and parts[index + 1] in KINDS:
            split, kind, rest = parts[index], parts[index + 1], parts[index + 2 :]
            return Place("/".join(parts[:index]), split, kind, _key(kind, rest))
    return None


def _key(kind: str, rest: tuple[str, ...]) -> str | None:
    name = PurePosixPath(rest[-1])
    suffix = name.suffix.lower()
    # Pictures may lie in folders of their own; labels may not, as in DIGITS.
    fits = suffix in IMAGE_SUFFIXES if kind == "images" else len(rest) == 1 and suffix == LABEL_SUFFIX
    # One system writes an accented letter as one character, another as two; the stems must still meet.
    return unicodedata.normalize("NFC", name.stem) if fits else None


def split_of(path: str, *, with_name: bool = False) -> str | None:
    """``train``, ``val`` or ``test`` by the words of a path; None where it says nothing."""
    name = PurePosixPath(path)
    parts = [*name.parts[:-1], *([name.stem] if with_name else [])]
    for part in parts:
        for word in re.findall("[a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None
