"""What changed from one version to another: pictures by split and key, boxes by class and corners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detectnet.metrics import iou_matrix
from periscope_dataset.boxes import Table
from periscope_dataset.tables import SplitTable

SAME_OBJECT_IOU = 0.5
"""Two boxes of one picture that overlap this much are one object that was changed."""

Classes = Sequence[str]
Box = tuple[str, tuple[float, ...]]
"""Class and corners."""


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    classes: Classes
    splits: Mapping[str, SplitTable]


@dataclass(frozen=True)
class Change:
    """One picture that is not in both versions as it is."""

    split: str
    key: str
    change: str
    """``added``, ``removed``, ``changed`` (other bytes) or ``relabelled`` (boxes only)."""
    boxes_added: int = 0
    boxes_removed: int = 0
    boxes_changed: int = 0


@dataclass
class Difference:
    """All changes in order of split and key, and their sums by split."""

    changes: list[Change] = field(default_factory=list)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)


def difference(old: Side, new: Side) -> Difference:
    """Compare two versions; boxes of a picture that is in one only are added or removed with it."""
    found = Difference()
    for split in sorted(old.splits.keys() | new.splits.keys()):
        changes = list(_split(split, old, new))
        found.changes += changes
        found.totals[split] = {
            **{f"images_{kind}": sum(change.change == kind for change in changes)
               for kind in ("added", "removed", "changed", "relabelled")},
            **{name: sum(getattr(change, name) for change in changes)
               for name in ("boxes_added", "boxes_removed", "boxes_changed")},
        }  # fmt: skip
    return found


def _split(split: str, old: Side, new: Side) -> Iterator[Change]:
    before, after = old.splits.get(split), new.splits.get(split)
    old_places = {} if before is None else {key: place for place, key in enumerate(before.keys)}
    new_places = {} if after is None else {key: place for place, key in enumerate(after.keys)}
    old_rows, new_rows = _Rows(old.classes, before), _Rows(new.classes, after)
    for key in sorted(old_places.keys() | new_places.keys()):
        was, now = old_places.get(key), new_places.get(key)
        if was is None and now is not None:
            yield Change(split, key, "added", boxes_added=new_rows.count(now))
        elif now is None and was is not None:
            yield Change(split, key, "removed", boxes_removed=old_rows.count(was))
        elif was is not None and now is not None and before is not None and after is not None:
            same_bytes = before.sha256[was] == after.sha256[now]
            if same_bytes and old_rows.raw(was) == new_rows.raw(now):
                continue
            added, removed, changed = compare_boxes(old_rows.boxes(was), new_rows.boxes(now))
            if not same_bytes or added or removed or changed:
                yield Change(split, key, "relabelled" if same_bytes else "changed", added, removed, changed)


class _Rows:
    """The boxes of a split by picture, their classes by name."""

    def __init__(self, classes: Classes, table: SplitTable | None) -> None:
        self._names = [*classes, "dontcare"]
        """The last one is also that of class -1."""
        count = 0 if table is None else len(table.keys)
        self._boxes = None if table is None else table.boxes
        rows = np.zeros(0, np.uint32) if table is None else table.boxes["picture"]
        self._starts = np.searchsorted(rows, np.arange(count + 1)).tolist()
        self._prefix = "\0".join(classes).encode()

    def count(self, place: int) -> int:
        return int(self._starts[place + 1] - self._starts[place])

    def raw(self, place: int) -> bytes:
        """Equal for equal boxes in equal order; quick."""
        rows = self._of(place)
        return self._prefix + rows["class"].tobytes() + rows["xyxy"].tobytes()

    def boxes(self, place: int) -> list[tuple[str, tuple[float, ...]]]:
        rows = self._of(place)
        return [
            (self._names[index], tuple(box))
            for index, box in zip(rows["class"].tolist(), rows["xyxy"].tolist(), strict=True)
        ]

    def _of(self, place: int) -> Table:
        if self._boxes is None:
            raise IndexError(place)
        return self._boxes[self._starts[place] : self._starts[place + 1]]


def compare_boxes(old: Sequence[Box], new: Sequence[Box]) -> tuple[int, int, int]:
    """How many boxes (class name, corners) were added, removed and changed; their order does not count.

    Of those that are not equal, the pairs that overlap most are changed ones, down to IoU 0.5.
    """
    left, came = list(old), []
    for box in new:
        if box in left:
            left.remove(box)
        else:
            came.append(box)
    changed = len(_pairs(left, came)) if left and came else 0
    return len(came) - changed, len(left) - changed, changed


def _pairs(old: Sequence[Box], new: Sequence[Box]) -> list[tuple[int, int]]:
    overlaps: npt.NDArray[np.float32] = iou_matrix(
        np.array([corners for _, corners in old], np.float32),
        np.array([corners for _, corners in new], np.float32),
    )
    pairs: list[tuple[int, int]] = []
    while overlaps.size and float(overlaps.max()) >= SAME_OBJECT_IOU:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        pairs.append((int(row), int(column)))
        overlaps[row, :] = overlaps[:, column] = -1
    return pairs
