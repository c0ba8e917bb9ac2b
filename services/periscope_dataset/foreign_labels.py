"""Labels of other formats as KITTI's text. Boxes come out in pixels of the picture's file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml

from detectnet.classes import DONTCARE
from detectnet.image_files import ImageError, require_sound_file
from periscope_dataset.findings import Finding
from periscope_dataset.layout import split_of

YOLO_COLUMNS = 5
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
        except ValueError as error:
            raise BadAnnotations("a YOLO line has a class number and 4 numbers", number) from error
        if len(words) < YOLO_COLUMNS or index < 0 or not all(map(math.isfinite, values)):
            raise BadAnnotations("a YOLO line has a class number and 4 numbers", number)
        if names and index >= len(names):
            raise BadAnnotations(f"class {index} has no name; there are {len(names)}", number)
        name = names[index] if names else f"class-{index}"
        lines.append(_kitti_line(name, _yolo_box(values, width, height)))
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
        lines.append(_kitti_line(item.findtext("name", ""), box, truncated))
    return "".join(f"{line}\n" for line in lines)


def coco_labels(files: Mapping[str, Path], images: Mapping[str, Path]) -> dict[str, Labels]:
    """Labels by picture, of all COCO files of an export. Raises BadAnnotations."""
    by_name: dict[str, list[str]] = {}
    for path in images:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    found: dict[str, Labels] = {}
    for source, file in sorted(files.items()):
        pictures: dict[Any, str] = {}
        lines: dict[Any, list[str]] = {}
        names: dict[Any, str] = {}
        pending: list[tuple[Any, Any, list[float], bool]] = []
        for kind, item in _coco_items(file, source):
            try:
                if kind == "categories":
                    names[item["id"]] = item["name"]
                elif kind == "images":
                    pictures[item["id"]] = item["file_name"]
                else:
                    x, y, width, height = (float(number) for number in item["bbox"])
                    box = [x, y, x + width, y + height]
                    pending.append((item["image_id"], item["category_id"], box, bool(item.get("iscrowd"))))
            except (KeyError, TypeError, ValueError) as error:
                raise BadAnnotations(
                    f"an entry of {kind} is not as in COCO: {error!r}", file=source
                ) from error
        for picture, category, box, is_crowd in pending:
            name = DONTCARE if is_crowd else str(names.get(category, f"category-{category}"))
            lines.setdefault(picture, []).append(_kitti_line(name, box))
        for picture, file_name in pictures.items():
            text = "".join(f"{line}\n" for line in lines.get(picture, []))
            found[_member_of(file_name, source, by_name)] = Labels(source, text)
    return found


def names_of_yaml(text: str) -> list[str]:
    """Class names of a ``data.yaml``: a list (v5) or numbers and names (v8)."""
    try:
        names = (yaml.safe_load(text) or {}).get("names", [])
    except (yaml.YAMLError, AttributeError):
        return []
    if isinstance(names, dict):
        numbers = [int(number) for number in names if str(number).isdigit()]
        by_number = {int(number): name for number, name in names.items() if str(number).isdigit()}
        return [
            str(by_number.get(number, f"class-{number}")) for number in range(max(numbers, default=-1) + 1)
        ]
    return [str(name) for name in names] if isinstance(names, list) else []


def _member_of(file_name: str, source: str, by_name: Mapping[str, list[str]]) -> str:
    """The picture that a COCO file means.

    Of several of one name: the one whose path ends as written, of the same split, or that lies beside.
    """
    candidates = by_name.get(PurePosixPath(str(file_name)).name, [])
    folder, split = str(PurePosixPath(source).parent), split_of(source, with_name=True)

    def unlikeness(path: str) -> tuple[bool, bool, bool, str]:
        ends_so = f"/{path}".endswith(f"/{file_name}")
        return not ends_so, split_of(path) != split, not path.startswith(folder), path

    return min(candidates, key=unlikeness, default=f"{file_name}\0")


def _coco_items(file: Path, source: str) -> Iterator[tuple[str, Any]]:
    """Entries one at a time: the whole would take ten times its size in memory."""
    decoder = json.JSONDecoder()
    try:
        text = file.read_text()
        place = _skip(text, 0, "{")
        while text[place] != "}":
            key, place = decoder.raw_decode(text, place)
            place = _skip(text, place, ":")
            if key in ("images", "annotations", "categories") and text[place] == "[":
                place = _skip(text, place, "[")
                while text[place] != "]":
                    item, place = decoder.raw_decode(text, place)
                    yield key, item
                    place = _skip(text, place, ",")
                place = _skip(text, place, "]")
            else:
                _, place = decoder.raw_decode(text, place)
            place = _skip(text, place, ",")
    except (ValueError, IndexError, RecursionError) as error:
        raise BadAnnotations(f"the JSON file cannot be read: {error}", file=source) from error


def _skip(text: str, place: int, mark: str) -> int:
    """Behind white space, the mark if it is there, and white space again."""
    while text[place : place + 1].isspace():
        place += 1
    if text[place : place + 1] == mark:
        place += 1
    while text[place : place + 1].isspace():
        place += 1
    return place


def _yolo_box(values: list[float], width: int, height: int) -> list[float]:
    if len(values) + 1 > MAX_YOLO_COLUMNS:
        xs, ys = values[0::2], values[1::2]
        return [min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height]
    x, y, w, h = values[:4]
    return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


def _kitti_line(name: str, box: list[float], truncated: float = 0.0) -> str:
    kind = "_".join(name.split()) or DONTCARE
    corners = " ".join(f"{side:.6f}".rstrip("0").rstrip(".") for side in box)
    return f"{kind} {truncated:g} 0 0 {corners} 0 0 0 0 0 0 0"
