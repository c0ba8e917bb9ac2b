"""All boxes of a split as one table, small enough for the memory and quick enough to ask anything of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap, UnknownClass
from detectnet.kitti import KittiObject, parse_label

BOX = np.dtype(
    [("picture", "<u4"), ("line", "<u4"), ("class", "<i2"), ("distance", "<f4"), ("xyxy", "<f4", (4,))]
)
"""One box: its picture's place in the split's index, its line in the label, its class (-1 is don't care), its
distance z, and its corners in pixels of the file."""

FAR_PX = 1e6
Table = npt.NDArray[np.void]


@dataclass
class TableWriter:
    """Gathers the boxes of a split, picture by picture."""

    classes: ClassMap | None
    """None where nothing is labelled."""

    def __post_init__(self) -> None:
        self._content = bytearray()

    def add(self, picture: int, label_file: Path) -> None:
        """Enter a picture's objects; its label was checked before."""
        objects = parse_label(label_file.read_bytes().decode(), label_file.name)
        rows = np.zeros(len(objects), BOX)
        for row, item in zip(rows, objects, strict=True):
            row["picture"], row["line"] = picture, item.line_number
            row["class"] = _class_of(item, self.classes)
            # Labels may hold any number; far outside is far enough.
            row["distance"] = min(max(item.location[2], -FAR_PX), FAR_PX)
            row["xyxy"] = np.clip(item.xyxy, -FAR_PX, FAR_PX)
        self._content += rows.tobytes()

    def table(self) -> Table:
        """All rows, by picture and line."""
        return np.frombuffer(bytes(self._content), BOX)


def pack_table(table: Table) -> bytes:
    """The table as a file of numpy's format; equal tables give equal bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, table, allow_pickle=False)
    return buffer.getvalue()


def load_table(body: bytes) -> Table:
    """What ``pack_table`` made."""
    table: Table = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
    return table


def _class_of(item: KittiObject, classes: ClassMap | None) -> int:
    try:
        index = None if classes is None else classes.index_of(item.type)
    except UnknownClass:
        return -1
    return -1 if index is None else index
