"""Judging detections and drawing them."""

from __future__ import annotations

import numpy as np
import pytest

from detectnet.drawing import PALETTE
from detectnet.jetson import JetsonDetection
from detectnet.kitti import KittiObject
from detectnet.metrics import Counts
from periscope_embedded.contact_sheet import TILE_WIDTH, TITLE_HEIGHT, contact_sheet
from periscope_embedded.judging import JudgedPicture, choose_for_show, count_classes
from periscope_embedded.pictures import LabelledPicture

LABELS = ("buoy", "gate")


def judged(name: str, objects: list[KittiObject], detections: list[JetsonDetection]) -> JudgedPicture:
    image = np.full((180, 360, 3), 90, np.uint8)
    return JudgedPicture(LabelledPicture(name, image, tuple(objects)), tuple(detections))


def thing(kind: str, *xyxy: float) -> KittiObject:
    return KittiObject(type=kind, xyxy=xyxy)  # type: ignore[arg-type]


def found(index: int, *xyxy: float) -> JetsonDetection:
    return JetsonDetection(xyxy, index, 0.9)  # type: ignore[arg-type]


def test_hits_false_alarms_and_misses_are_counted_by_class() -> None:
    pictures = [
        judged("a", [thing("buoy", 10, 10, 60, 60), thing("gate", 100, 20, 200, 120)],
               [found(0, 11, 10, 61, 60), found(0, 300, 0, 350, 50)]),
        judged("b", [thing("dontcare", 0, 0, 9, 9)], [found(1, 0, 0, 40, 40)]),
    ]  # fmt: skip

    assert count_classes(pictures, LABELS) == {"buoy": Counts(1, 1, 0), "gate": Counts(0, 1, 1)}


def test_pictures_for_show_are_spread_evenly_over_those_with_objects() -> None:
    pictures = [judged(str(n), [thing("buoy", 0, 0, 9, 9)] if n % 2 else [], []) for n in range(20)]
    shown = choose_for_show(pictures, LABELS, 5)

    assert [item.picture.name for item in shown] == ["1", "5", "9", "13", "17"]


def test_pictures_without_any_object_are_better_than_none() -> None:
    assert len(choose_for_show([judged("a", [], [])], LABELS, 5)) == 1


def test_the_sheet_shows_label_and_detection_where_they_are() -> None:
    sheet = contact_sheet(
        [judged("a.jpg", [thing("gate", 200, 50, 300, 150)], [found(1, 40, 60, 120, 140)])], LABELS, "t", "s"
    )
    tile = sheet[TITLE_HEIGHT:, 8 : 8 + TILE_WIDTH]

    assert tuple(tile[100, 40]) == PALETTE[1]
    assert tuple(tile[100, 120]) == PALETTE[1]
    assert tuple(tile[50, 202]) == (255, 255, 255)
    assert tuple(tile[100, 250]) == (90, 90, 90)


def test_boxes_at_the_edge_and_odd_counts_are_no_trouble() -> None:
    item = judged("a", [thing("buoy", -20, -20, 500, 400)], [found(0, 0, 0, 359, 179)])

    assert contact_sheet([item] * 5, LABELS, "t", "s").shape[1] == 8 + 4 * (TILE_WIDTH + 8)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        contact_sheet([], LABELS, "t", "s")
