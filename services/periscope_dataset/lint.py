"""Judges a data set as a whole, before a second of training is spent on it.

Sizes are those of the network's input as far as known: the resize, else the padding, else the most frequent
picture size, rounded up to what the network can take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap
from detectnet.sizes import STRIDE
from periscope_dataset.checking import CheckedImage
from periscope_dataset.duplicates import near_matches, near_within
from periscope_dataset.findings import MAX_EXAMPLES, Example, Findings, Severity
from periscope_dataset.grid import (
    Judged,
    Mask,
    Size,
    boxes_outside,
    empty_boxes,
    look_at,
    network_size,
)

MAX_LEAK_SHARE = 0.1
"""Of validation; more makes the measured figures worthless."""
MOST = 0.5
IMBALANCE = 20
FEW_BOXES = 10
FEW_VAL = 10
FEW_VAL_SHARE = 0.02
EMPTY_SHARE = 0.9
TOUCHING_SHARE = 0.05
SQUASH = 1.25


@dataclass
class Lint:
    """Looks at one data set and notes what it finds."""

    classes: ClassMap
    options: dict[str, Any]
    findings: Findings
    splits: dict[str, Judged] = field(default_factory=dict)

    def run(self, went_on: Callable[[], None] = lambda: None) -> None:
        """Note everything; ``went_on`` is called now and then, and may raise to stop."""
        sizes = self._sizes()
        network = network_size(self.options, sizes)
        self._pictures(sizes)
        self._counts()
        usable = self._coordinates()
        if usable:
            self._grid(network, went_on)
        else:
            # That boxes are too small follows from what is wrong with all of them.
            self.findings.groups.pop("all_small", None)
        self._duplicates()

    def _sizes(self) -> Counter[Size]:
        images = (image for split in self.splits.values() for image in split.files.images.values())
        return Counter((image.width, image.height) for image in images)

    def _pictures(self, sizes: Counter[Size]) -> None:
        options, note = self.options, self.findings.lint
        if not options["resize"] and not options["pad"]:
            if len(sizes) > 1:
                shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
                note("mixed_sizes", "warning", f"the pictures have {len(sizes)} sizes ({shown})", len(sizes))
            odd = sum(count for size, count in sizes.items() if any(side % STRIDE for side in size))
            if odd:
                note(
                    "size_not_multiple",
                    "warning",
                    f"{odd} pictures have a side that is no multiple of 16",
                    odd,
                )
        elif options["resize"] and not options["pad"]:
            wanted = options["resize"]["width"] / options["resize"]["height"]
            count = sum(n for (w, h), n in sizes.items() if not 1 / SQUASH <= wanted / (w / h) <= SQUASH)
            if count:
                note("squashed", "warning", f"the resize changes the shape of {count} pictures", count)
        for trait, message in (
            ("exif_rotated", "pictures ask to be turned when they are shown"),
            ("cmyk", "pictures have four colours, for print"),
        ):
            images = (image for split in self.splits.values() for image in split.files.images.values())
            paths = [image.path for image in images if trait in image.traits]
            if paths:
                examples = [Example(path) for path in sorted(paths)[:MAX_EXAMPLES]]
                note(trait, "warning", f"{len(paths)} {message}", len(paths), examples)

    def _counts(self) -> None:
        note = self.findings.lint
        train, val = self.splits["train"], self.splits["val"]
        counts = {
            name: np.bincount(
                split.table["class"][split.table["class"] >= 0], minlength=len(self.classes.names)
            )
            for name, split in self.splits.items()
        }
        missing = [self.classes.names[index] for index in np.flatnonzero(counts["train"] == 0)]
        if missing:
            message = f"no training object of {', '.join(map(repr, missing))}"
            note("class_not_in_train", "error", message, len(missing))
        present = counts["train"][counts["train"] > 0]
        few = [name for name, n in zip(self.classes.names, counts["train"], strict=True) if 0 < n < FEW_BOXES]
        if few:
            note(
                "few_boxes",
                "warning",
                f"fewer than {FEW_BOXES} training objects of {', '.join(few)}",
                len(few),
            )
        if len(present) > 1 and present.max() >= IMBALANCE * present.min():
            rare = self.classes.names[int(np.argmin(np.where(counts["train"] > 0, counts["train"], np.inf)))]
            message = f"{rare!r} has {present.min()} training objects where another class has {present.max()}"
            note("imbalance", "warning", message, 1)
        if len(val.keys) < max(FEW_VAL, FEW_VAL_SHARE * len(train.keys)):
            note(
                "few_val",
                "warning",
                f"{len(val.keys)} validation pictures for {len(train.keys)}",
                len(val.keys),
            )
        labelled = len(np.unique(train.table["picture"][train.table["class"] >= 0]))
        if labelled < (1 - EMPTY_SHARE) * len(train.keys):
            empty = len(train.keys) - labelled
            note(
                "mostly_empty",
                "warning",
                f"{empty} of {len(train.keys)} training pictures show no object",
                empty,
            )

    def _coordinates(self) -> bool:
        """Whether the boxes are such that the grid can say something about them."""
        rows = [split.table[split.table["class"] >= 0] for split in self.splits.values()]
        boxes = np.concatenate([row["xyxy"] for row in rows])
        if len(boxes) and boxes.max() <= 1:
            examples = [self.splits["train"].example(row) for row in rows[0][:MAX_EXAMPLES]]
            message = "all boxes lie between 0 and 1; KITTI boxes are in pixels"
            self.findings.lint("boxes_normalised", "error", message, len(boxes), examples)
            return False
        sound = True
        for code, masks in (
            ("empty_box", [empty_boxes(split.table) for split in self.splits.values()]),
            ("box_outside", [boxes_outside(split.table, split.sizes) for split in self.splits.values()]),
        ):
            count = int(sum(mask.sum() for mask in masks))
            severity: Severity = "error" if count > MOST * len(boxes) else "warning"
            if count:
                examples = list(self._examples(masks))
                told = "have no area" if code == "empty_box" else "reach out of their pictures"
                self.findings.lint(code, severity, f"{count} of {len(boxes)} boxes {told}", count, examples)
            sound = sound and severity == "warning"
        return sound

    def _examples(self, masks: list[Mask]) -> Iterator[Example]:
        for split, mask in zip(self.splits.values(), masks, strict=True):
            for place in np.flatnonzero(mask)[:MAX_EXAMPLES]:
                yield split.example(split.table[place])

    def _grid(self, network: Size, went_on: Callable[[], None]) -> None:
        seen = {name: look_at(split, self.options, network, went_on) for name, split in self.splits.items()}
        size = f"{network[0]}x{network[1]}"
        real = {name: split.table["class"] >= 0 for name, split in self.splits.items()}
        total = int(sum(mask.sum() for mask in real.values()))
        lost = self._lost_classes("class_too_low", seen["train"].low, f"is lower than 22 pixels at {size}")
        self._lost_classes("class_hidden", seen["train"].hidden, f"keeps a grid cell at {size}", but_not=lost)
        for code, masks, told, least in (
            ("box_low", [one.low for one in seen.values()], f"boxes are lower than 22 pixels at {size}", 0.0),
            ("box_hidden", [one.hidden for one in seen.values()], f"boxes keep no grid cell at {size}", 0.0),
            ("touching_boxes", [one.touching for one in seen.values()], "boxes touch one of their class",
             TOUCHING_SHARE),
            ("duplicate_box", [one.twice for one in seen.values()], "boxes occur twice in a picture", 0.0),
        ):  # fmt: skip
            count = int(sum(mask.sum() for mask in masks))
            if count and count >= least * total:
                examples = list(self._examples(masks))
                self.findings.lint(code, "warning", f"{count} of {total} {told}", count, examples)

    def _lost_classes(
        self, code: str, mask: Mask, told: str, but_not: frozenset[int] = frozenset()
    ) -> frozenset[int]:
        table = self.splits["train"].table
        lost = []
        for index in range(len(self.classes.names)):
            mine = table["class"] == index
            if mine.any() and index not in but_not and mask[mine].all():
                lost.append(index)
        if lost:
            names = ", ".join(repr(self.classes.names[index]) for index in lost)
            start = "every training object of" if code == "class_too_low" else "no training object of"
            examples = [self.splits["train"].example(table[table["class"] == lost[0]][0])]
            self.findings.lint(code, "error", f"{start} {names} {told}", len(lost), examples)
        return frozenset(lost)

    def _duplicates(self) -> None:
        train, val = self.splits["train"], self.splits["val"]
        known = {image.sha256: image.path for image in train.files.images.values()}
        leaked = [key for key in val.keys if val.files.images[key].sha256 in known]
        if leaked:
            severity: Severity = "error" if len(leaked) > MAX_LEAK_SHARE * len(val.keys) else "warning"
            examples = [Example(val.files.images[key].path) for key in leaked[:MAX_EXAMPLES]]
            message = f"{len(leaked)} of {len(val.keys)} validation pictures are training pictures too"
            self.findings.lint("leak", severity, message, len(leaked), examples)
        for name, split in self.splits.items():
            _note_repeated(split, self.findings)
            _note_alike(name, split, self.findings)
        self._near(set(leaked))

    def _near(self, leaked: set[str]) -> None:
        train, val = self.splits["train"].files.images, self.splits["val"].files.images
        asked = [image for key, image in sorted(val.items()) if image.phash is not None and key not in leaked]
        matches = near_matches(_hashes(asked), _hashes(list(train.values())))
        if matches:
            message = f"{len(matches)} of {len(val)} validation pictures look like training pictures"
            examples = [Example(asked[place].path) for place in sorted(matches)[:MAX_EXAMPLES]]
            self.findings.lint("near_leak", "warning", message, len(matches), examples)


def _hashes(images: list[CheckedImage]) -> npt.NDArray[np.uint64]:
    return np.array([image.phash for image in images if image.phash is not None], np.uint64)


def _note_alike(name: str, split: Judged, findings: Findings) -> None:
    """Near duplicates within a split; those byte for byte are told apart."""
    first = {image.sha256: image for key in reversed(split.keys) for image in [split.files.images[key]]}
    images = [image for image in first.values() if image.phash is not None]
    alike = near_within(_hashes(images))
    if alike:
        examples = [Example(path) for path in sorted(images[place].path for place in alike)[:MAX_EXAMPLES]]
        message = f"{len(alike)} of {len(split.keys)} {name} pictures look like another of them"
        findings.lint("near_duplicate", "warning", message, len(alike), examples)


def _note_repeated(split: Judged, findings: Findings) -> None:
    counts = Counter(image.sha256 for image in split.files.images.values())
    repeated = [key for key in split.keys if counts[split.files.images[key].sha256] > 1]
    if repeated:
        examples = [Example(split.files.images[key].path) for key in repeated[:MAX_EXAMPLES]]
        message = f"{len(repeated)} pictures are byte for byte like another of their split"
        findings.lint("duplicate_image", "warning", message, len(repeated), examples)
