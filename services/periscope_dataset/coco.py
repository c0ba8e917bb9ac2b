"""COCO's annotations, of files of any size: entries are read one at a time, labels lie on the disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from detectnet.classes import DONTCARE
from periscope_dataset.foreign_labels import BadAnnotations, Labels, kitti_line
from periscope_dataset.json_stream import BadJson, entries
from periscope_dataset.layout import split_of

MAX_OBJECTS = 2_000_000
"""Of one file; each takes 50 bytes of memory."""
LISTS = ("images", "annotations", "categories")


class CocoAnnotations:
    """Labels by picture, of all COCO files of an export."""

    def __init__(self, files: Mapping[str, Path], images: Mapping[str, str], spool: Path) -> None:
        """Read all files; ``spool`` takes the labels. Raises BadAnnotations."""
        by_name: dict[str, list[str]] = {}
        for path in images:
            by_name.setdefault(PurePosixPath(path).name, []).append(path)
        self._places: dict[str, tuple[str, int, int]] = {}
        """By picture: the JSON file, and where in the spool its label lies."""
        self._lost: list[str] = []
        self._spool = spool
        with spool.open("wb") as written:
            for source, file in sorted(files.items()):
                self._enter(_read(file, source), source, by_name, written)

    def source(self, image: str) -> str | None:
        """The JSON file that lists the picture."""
        return self._places[image][0] if image in self._places else None

    def label(self, image: str) -> Labels:
        """In the words of KITTI."""
        source, offset, size = self._places[image]
        with self._spool.open("rb") as file:
            file.seek(offset)
            return Labels(source, file.read(size).decode())

    def unused(self) -> list[str]:
        """Names of pictures that are listed and not there."""
        return self._lost

    def _enter(
        self, table: _Table, source: str, by_name: Mapping[str, list[str]], written: IO[bytes]
    ) -> None:
        for picture, text in table.labels():
            image = _member_of(picture, source, by_name)
            if image is None:
                self._lost.append(picture)
                continue
            body = text.encode()
            self._places[image] = (source, written.tell(), len(body))
            written.write(body)


@dataclass
class _Table:
    """One file's pictures and objects, in numbers."""

    files: list[str] = field(default_factory=list)
    numbers: dict[Any, int] = field(default_factory=dict)
    """Places in ``files``, by COCO's image id."""
    names: dict[Any, str] = field(default_factory=dict)
    image_ids: dict[Any, int] = field(default_factory=dict)
    """Places of ids that objects name; a file may list its objects before its pictures."""
    category_ids: dict[Any, int] = field(default_factory=dict)
    pictures: array[int] = field(default_factory=lambda: array("q"))
    categories: array[int] = field(default_factory=lambda: array("q"))
    crowds: array[int] = field(default_factory=lambda: array("b"))
    boxes: array[float] = field(default_factory=lambda: array("d"))

    def enter(self, kind: str, item: Any) -> None:
        """Raises KeyError, OverflowError, TypeError, ValueError."""
        if kind == "categories":
            self.names[item["id"]] = _text(item["name"])
        elif kind == "images":
            self.numbers[item["id"]] = len(self.files)
            self.files.append(_text(item["file_name"]))
        else:
            if len(self.crowds) >= MAX_OBJECTS:
                raise ValueError(f"more than {MAX_OBJECTS} objects; split the data set")
            x, y, width, height = (float(number) for number in item["bbox"])
            self.boxes.extend((x, y, x + width, y + height))
            self.pictures.append(self.image_ids.setdefault(item["image_id"], len(self.image_ids)))
            category = self.category_ids.setdefault(item["category_id"], len(self.category_ids))
            self.categories.append(category)
            self.crowds.append(bool(item.get("iscrowd")))

    def labels(self) -> Iterator[tuple[str, str]]:
        """Each picture's name and its label, objects in their order."""
        numbers = np.frombuffer(self.pictures, np.int64)
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], np.arange(len(self.image_ids) + 1))
        names = [
            self.names.get(told, f"category-{told}".encode(errors="replace").decode())
            for told in self.category_ids
        ]
        for told, number in self.numbers.items():
            place = self.image_ids.get(told)
            rows = order[edges[place] : edges[place + 1]] if place is not None else ()
            lines = (self._line(int(row), names) for row in rows)
            yield self.files[number], "".join(f"{line}\n" for line in lines)

    def _line(self, row: int, names: list[str]) -> str:
        name = DONTCARE if self.crowds[row] else names[self.categories[row]]
        return kitti_line(name, list(self.boxes[4 * row : 4 * row + 4]))


def _text(value: Any) -> str:
    """As text. Raises ValueError for half a character, which JSON can say and no file can hold."""
    text = str(value)
    text.encode()
    return text


def _read(file: Path, source: str) -> _Table:
    table, kind = _Table(), ""
    try:
        with file.open("rb") as opened:
            for kind, item in entries(opened, LISTS):
                table.enter(kind, item)
    except BadJson as error:
        raise BadAnnotations(f"the JSON file cannot be read: {error}", file=source) from error
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadAnnotations(f"an entry of {kind} is not as in COCO: {error!r}", file=source) from error
    return table


def _member_of(file_name: str, source: str, by_name: Mapping[str, list[str]]) -> str | None:
    """The picture that a COCO file means.

    Of several of one name: the one whose path ends as written, of the same split, or that lies beside.
    """
    candidates = by_name.get(PurePosixPath(file_name).name, [])
    folder, split = str(PurePosixPath(source).parent), split_of(source, with_name=True)

    def unlikeness(path: str) -> tuple[bool, bool, bool, str]:
        ends_so = f"/{path}".endswith(f"/{file_name}")
        return not ends_so, split_of(path) != split, not path.startswith(folder), path

    return min(candidates, key=unlikeness, default=None)
