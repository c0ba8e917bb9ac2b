"""One picture's objects in the words of other formats. Each says what it can; the rest is left out.

Numbers are written so that they read back as they were: a box comes home unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from detectnet.classes import DONTCARE
from detectnet.kitti import KittiObject, parse_label
from periscope_dataset.reading import StoredPicture

CATEGORY_FROM = 1
"""COCO's tools take 0 for the background."""


def objects_of(picture: StoredPicture) -> list[KittiObject]:
    """The picture's objects, in the order of its label."""
    return parse_label(picture.label, f"{picture.key}.txt")


def yolo_text(picture: StoredPicture, classes: Sequence[str]) -> str:
    """Class number, centre and size as shares of the picture.

    YOLO has no word for don't care, for what lies outside the picture, and for boxes without area.
    """
    places = {name: number for number, name in enumerate(classes)}
    lines = []
    for item in objects_of(picture):
        x1, y1, x2, y2 = (
            min(max(value, 0.0), side)
            for value, side in zip(item.xyxy, [picture.width, picture.height] * 2, strict=True)
        )
        if item.type not in places or x2 <= x1 or y2 <= y1:
            continue
        shares = (
            (x1 + x2) / 2 / picture.width, (y1 + y2) / 2 / picture.height,
            (x2 - x1) / picture.width, (y2 - y1) / picture.height,
        )  # fmt: skip
        lines.append(f"{places[item.type]} {' '.join(map(repr, shares))}\n")
    return "".join(lines)


def voc_text(picture: StoredPicture) -> str:
    """A Pascal VOC annotation. Numbers keep their fractions, which VOC's own files do not have."""
    return (
        f"<annotation><folder>JPEGImages</folder><filename>{escape(picture.filename)}</filename>\n"
        f"<size><width>{picture.width}</width><height>{picture.height}</height><depth>3</depth></size>\n"
        f"<segmented>0</segmented>\n{''.join(map(_voc_object, objects_of(picture)))}</annotation>\n"
    )


def _voc_object(item: KittiObject) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), item.xyxy, strict=True)
    box = "".join(f"<{name}>{_number(value)}</{name}>" for name, value in sides)
    return (
        f"<object><name>{escape(item.type)}</name><pose>Unspecified</pose>"
        f"<truncated>{int(item.truncated > 0)}</truncated><occluded>{int(item.occluded > 0)}</occluded>"
        f"<difficult>0</difficult><bndbox>{box}</bndbox></object>\n"
    )


def coco_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes in their order; don't care comes last, for its regions are crowds."""
    names = [*classes, DONTCARE]
    return [{"id": number, "name": name} for number, name in enumerate(names, start=CATEGORY_FROM)]


def coco_annotations(
    picture: StoredPicture, image_id: int, first_id: int, category_ids: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Entries of COCO's ``annotations``."""
    found = []
    for number, item in enumerate(objects_of(picture), start=first_id):
        x1, y1, x2, y2 = item.xyxy
        found.append({
            "id": number, "image_id": image_id, "category_id": category_ids[item.type],
            "bbox": [x1, y1, x2 - x1, y2 - y1], "area": max(x2 - x1, 0.0) * max(y2 - y1, 0.0),
            "iscrowd": int(item.type == DONTCARE), "segmentation": [],
        })  # fmt: skip
    return found


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
