"""Versions made from a version: its pictures and labels join what was uploaded, and pass the same checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from periscope.store import ObjectMissing, ObjectStore
from periscope_dataset.archive import Member
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.foreign import Loaded
from periscope_dataset.layout import KINDS, LABEL_SUFFIX, Place
from periscope_dataset.reading import StoredPicture, read_split

IMAGES, LABELS = KINDS


@dataclass(frozen=True)
class Base:
    """The version that another is made from."""

    store: ObjectStore
    manifest: Mapping[str, Any]
    mode: str
    """``append``: a name that is in both is an error. ``replace``: the upload's file takes its place.
    ``remove``: without the pictures in ``removed``."""
    removed: frozenset[tuple[str, str]]
    """Split and key."""

    def lineage(self) -> dict[str, Any]:
        """For the new version's manifest."""
        told = {"base_version": self.manifest["version"], "action": self.mode}
        return told | ({"removed": len(self.removed)} if self.mode == "remove" else {})

    def join(self, uploaded: Iterator[Loaded], folder: Path) -> Iterator[Loaded]:
        """What was uploaded, then what stays of the base, its files in ``folder``. Raises IngestRefused."""
        root, taken = "", set()
        for item in uploaded:
            place = item.member.place
            root = place.root
            taken.add((place.split, place.kind, place.key))
            yield item
        for split in self.manifest["splits"]:
            for number, picture in enumerate(self._pictures(split)):
                for kind, name, body in _files(picture):
                    replaced = self.mode == "replace" and (split, kind, picture.key) in taken
                    # A test picture needs no label; to have none and an empty one is the same there.
                    if replaced or (split == "test" and kind == LABELS and not body):
                        continue
                    file = folder / f"base-{split}-{number}-{kind}"
                    file.write_bytes(body)
                    path = f"version-{self.manifest['version']}/{split}/{kind}/{name}"
                    yield Loaded(Member(path, Place(root, split, kind, picture.key), len(body)), file)

    def _pictures(self, split: str) -> Iterator[StoredPicture]:
        try:
            for picture in read_split(self.store, self.manifest["splits"][split]):
                if (split, picture.key) not in self.removed:
                    yield picture
        except ObjectMissing as error:
            raise base_missing(self.manifest["version"]) from error


def base_missing(version: int) -> IngestRefused:
    """The base was deleted while its successor was made."""
    message = f"version {version}, which this one was to be made from, was deleted meanwhile"
    return IngestRefused(Finding("base_missing", message, "name another base version"))


def _files(picture: StoredPicture) -> Iterator[tuple[str, str, bytes]]:
    yield IMAGES, picture.filename, picture.image
    yield LABELS, f"{picture.key}{LABEL_SUFFIX}", picture.label.encode()
