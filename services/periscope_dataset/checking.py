"""Checks single pictures and labels. What is kept of each is small, so that a version may have many."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from detectnet.classes import DONTCARE, UnknownClass
from detectnet.image_files import decoding_bytes
from detectnet.image_traits import jpeg_traits, perceptual_hash
from detectnet.images import ImageError, decode_image
from detectnet.kitti import KittiObject, LabelError, parse_label
from periscope_dataset.class_mapping import ClassMapping
from periscope_dataset.findings import Finding
from periscope_dataset.parallel import MemoryBudget

MAX_DECODING_BYTES = 192 << 20
"""Of one picture, and of all that are looked at together."""
MAX_TYPES = 257
"""Of one label: 256 classes, and don't care."""
BYTE_ORDER_MARK = "\ufeff"


Counts = tuple[tuple[str, int], ...]


@functools.lru_cache(maxsize=10_000)
def _one_of_each(counts: Counts) -> Counts:
    """Labels with equal counts share them: there may be hundreds of thousands."""
    return counts


def counted(counts: Mapping[str, int]) -> Counts:
    """Types with their numbers, in order of the types."""
    return _one_of_each(tuple(sorted((sys.intern(kind), count) for kind, count in counts.items())))


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """A picture that decodes wholly."""

    path: str
    """As the archive names it."""
    file: str
    """Where its bytes lie in the scratch folder."""
    width: int
    height: int
    sha256: str
    traits: tuple[str, ...] = ()
    """See ``detectnet.image_traits``."""
    phash: int | None = None
    """Perceptual hash; None where there is nothing to be recognised by."""


@dataclass(frozen=True, slots=True)
class CheckedLabel:
    """A label that parses, in figures."""

    path: str
    file: str
    objects: Counts
    """How many of each type, don't care among them."""
    small: Counts
    """How many of each type are below the minimum size for validation."""
    rightmost: tuple[float, int]
    """The largest x of all boxes in pixels, and its line."""
    lowest: tuple[float, int]
    """The largest y of all boxes in pixels, and its line."""

    @property
    def boxes(self) -> int:
        """How many objects are of a class."""
        return sum(count for kind, count in self.objects if kind != DONTCARE)


@dataclass(frozen=True)
class Verdict:
    """What a check says of one file; ``fact`` is None where the errors forbid its use."""

    fact: CheckedImage | CheckedLabel | None
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """What the options ask of single files."""

    mapping: ClassMapping
    pad: tuple[int, int] | None
    """Width and height that no picture may exceed."""
    val_min_box_size: int
    """In pixels of the file."""
    budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(MAX_DECODING_BYTES))
    """What pictures may take while they are decoded, all together."""


def check_image(path: str, file: Path, rules: Rules) -> Verdict:
    """Decode a picture wholly."""
    try:
        return _looked_at(path, file, rules)
    except ImageError as error:
        advice = "replace or remove the picture (and its label), then upload again"
        return Verdict(None, [Finding("image", str(error), advice, path)])


def _looked_at(path: str, file: Path, rules: Rules) -> Verdict:
    with rules.budget.hold(file.stat().st_size):
        body = file.read_bytes()
        needed = decoding_bytes(body)
        if needed > MAX_DECODING_BYTES:
            raise ImageError(f"the picture takes {needed >> 20} MiB to decode; make it smaller")
    with rules.budget.hold(needed + len(body)):
        image = decode_image(body)
        height, width = image.shape[:2]
        phash = perceptual_hash(image)
        del image
    if rules.pad is not None and (width > rules.pad[0] or height > rules.pad[1]):
        size = f"{rules.pad[0]}x{rules.pad[1]}"
        message = f"the picture is {width}x{height}, larger than the padding {size}"
        advice = "pad to at least the largest picture, or leave the padding out"
        return Verdict(None, [Finding("image_exceeds_pad", message, advice, path)])
    sha256, traits = hashlib.sha256(body).hexdigest(), jpeg_traits(body)
    return Verdict(CheckedImage(path, file.name, width, height, sha256, traits, phash))


def check_label(path: str, file: Path, rules: Rules) -> Verdict:
    """Parse a label, and look up its classes where they are given."""
    try:
        text = file.read_bytes().decode()
        objects = parse_label(text, path)
    except LabelError as error:
        advice = "mend the line: a type and 14 numbers, with spaces between"
        return Verdict(None, [Finding("label", error.message, advice, path, error.line)])
    except UnicodeDecodeError:
        advice = "save it as plain text in UTF-8"
        return Verdict(None, [Finding("label", "the label is not a UTF-8 text", advice, path)])
    if text.startswith(BYTE_ORDER_MARK):
        advice = "save it as UTF-8 without a byte order mark"
        return Verdict(None, [Finding("label", "a byte order mark precedes the first type", advice, path, 1)])
    errors = list(_unknown_classes(path, objects, rules.mapping))
    if errors:
        return Verdict(None, errors, list(_empty_boxes(path, objects)))
    mapped = rules.mapping.rewritten(text)
    if mapped != text:
        file = file.with_name(f"{file.name}.mapped")
        file.write_text(mapped)
        objects = parse_label(mapped, path)
    if len({item.type for item in objects}) > MAX_TYPES:
        message = f"the label holds more than {MAX_TYPES} classes"
        advice = "column 1 is the class; list the classes you want, and rename the others to dontcare"
        return Verdict(None, [Finding("too_many_classes", message, advice, path)])
    return Verdict(
        _summary(path, file, objects, rules.val_min_box_size), [], list(_empty_boxes(path, objects))
    )


def _summary(path: str, file: Path, objects: list[KittiObject], min_size: int) -> CheckedLabel:
    counts = Counter(sys.intern(item.type) for item in objects)
    small = Counter(sys.intern(item.type) for item in objects if _shorter_side(item) < min_size)
    rightmost = max(((item.xyxy[2], item.line_number) for item in objects), default=(0.0, 0))
    lowest = max(((item.xyxy[3], item.line_number) for item in objects), default=(0.0, 0))
    return CheckedLabel(path, file.name, counted(counts), counted(small), rightmost, lowest)


def _shorter_side(item: KittiObject) -> float:
    left, top, right, bottom = item.xyxy
    return min(right - left, bottom - top)


def _unknown_classes(path: str, objects: list[KittiObject], mapping: ClassMapping) -> Iterator[Finding]:
    for item in objects:
        try:
            mapping.kind_of(item.type)
        except UnknownClass as error:
            advice = "add the class to the list, or rename it in the label (dontcare leaves it out)"
            yield Finding("unknown_class", str(error), advice, path, item.line_number)


def _empty_boxes(path: str, objects: list[KittiObject]) -> Iterator[Finding]:
    for item in objects:
        if _shorter_side(item) <= 0 and item.type != DONTCARE:
            left, top, right, bottom = item.xyxy
            message = f"the box {left:g},{top:g},{right:g},{bottom:g} has no area"
            advice = "columns 5-8 are left, top, right, bottom in pixels"
            yield Finding("empty_box", message, advice, path, item.line_number)
