"""Labels of other formats as KITTI's text. Boxes come out in pixels of the picture's file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import yaml

from detectnet.classes import DONTCARE
from detectnet.image_files import ImageError, require_sound_file
from periscope_dataset.findings import Finding

YOLO_COLUMNS = 5
MAX_CLASS_NUMBER = 10_000
MAX_YOLO_COLUMNS = 6
"""A sixth is a score; more are the corners of a polygon."""


class BadAnnotations(ValueError):
    """Annotations that cannot be read."""

    def __init__(self, message: str, line: int | None = None, file: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.file = file


@dataclass(frozen=True)
class Labels:
    """One picture's label."""

    path: str
    """The member it comes from."""
    text: str
    """In KITTI's form."""
    finding: Finding | None = None


def yolo_label(text: str, image: Path, names: list[str]) -> str:
    """Class number, centre and size as shares of the picture; line for line. Raises BadAnnotations."""
    try:
        width, height = require_sound_file(image.read_bytes())
    except ImageError:
        return ""  # The picture's own check says so.
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            lines.append("")
            continue
        try:
            index, values = int(float(words[0])), [float(word) for word in words[1:]]
        except (OverflowError, ValueError) as error:  # An infinite class number overflows.
            raise BadAnnotations("a YOLO line has a class number and 4 numbers", number) from error
        if len(words) < YOLO_COLUMNS or index < 0 or not all(map(math.isfinite, values)):
            raise BadAnnotations("a YOLO line has a class number and 4 numbers", number)
        if names and index >= len(names):
            raise BadAnnotations(f"class {index} has no name; there are {len(names)}", number)
        name = names[index] if names else f"class-{index}"
        lines.append(kitti_line(name, _yolo_box(values, width, height)))
    return "".join(f"{line}\n" for line in lines)


def voc_label(text: str) -> str:
    """Objects of a Pascal VOC file. Raises BadAnnotations."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadAnnotations("the XML file has a document type, which no annotation needs")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 # Entities, the danger, were refused.
    except ElementTree.ParseError as error:
        raise BadAnnotations(f"the XML file cannot be read: {error}") from error
    lines = []
    for item in root.iter("object"):
        corners = [item.findtext(f"bndbox/{side}", "") for side in ("xmin", "ymin", "xmax", "ymax")]
        try:
            box = [float(corner) for corner in corners]
        except ValueError as error:
            raise BadAnnotations(f"an object has the box {corners}, which is not of numbers") from error
        truncated = 1.0 if item.findtext("truncated", "0").strip() == "1" else 0.0
        lines.append(kitti_line(item.findtext("name", ""), box, truncated))
    return "".join(f"{line}\n" for line in lines)


def names_of_yaml(text: str) -> list[str]:
    """Class names of a ``data.yaml``: a list (v5) or numbers and names (v8); unreadable, it has none."""
    try:
        return _names_in((yaml.safe_load(text) or {}).get("names", []))
    # ValueError: a date in month 99, a number of thousands of digits; RecursionError: brackets without end.
    except (yaml.YAMLError, AttributeError, RecursionError, ValueError):
        return []


def _names_in(names: object) -> list[str]:
    """Raises ValueError for numbers too long to be written."""
    if isinstance(names, list):
        return [_plain(name, number) for number, name in enumerate(names)]
    if not isinstance(names, dict):
        return []
    by_number = {int(number): name for number, name in names.items() if str(number).isdecimal()}
    last = min(max(by_number, default=-1), MAX_CLASS_NUMBER)
    return [_plain(by_number.get(number), number) for number in range(last + 1)]


def _plain(name: object, number: int) -> str:
    """A name; what refers to itself a thousand times in a few lines is none."""
    return str(name) if isinstance(name, str | int | float) else f"class-{number}"


def _yolo_box(values: list[float], width: int, height: int) -> list[float]:
    if len(values) + 1 > MAX_YOLO_COLUMNS:
        xs, ys = values[0::2], values[1::2]
        return [min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height]
    x, y, w, h = values[:4]
    return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


def kitti_line(name: str, box: list[float], truncated: float = 0.0) -> str:
    """A line of KITTI without its end; blanks of the name become underscores."""
    kind = "_".join(name.split()) or DONTCARE
    corners = " ".join(f"{side:.6f}".rstrip("0").rstrip(".") for side in box)
    return f"{kind} {truncated:g} 0 0 {corners} 0 0 0 0 0 0 0"
