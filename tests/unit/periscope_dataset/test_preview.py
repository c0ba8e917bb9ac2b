"""Will it learn? Survivors at an input size, the size that is suggested, and the grid on a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from detectnet.coverage import GroundTruthOptions, covers_a_cell, encode_targets
from detectnet.learnable import suggested_size
from periscope_dataset.grid import look_at_boxes
from periscope_dataset.tables import Tables
from tests.kitti_archives import BOXES, as_zip, label, picture, sound_files
from tests.unit.periscope_dataset.conftest import House
from tests.unit.periscope_dataset.test_browsing import versions_of


def buoys(found: dict[str, Any], split: str = "train") -> dict[str, int]:
    told: dict[str, int] = found["splits"][split]["buoy"]
    return told


def test_the_preview_counts_the_boxes_of_each_class_that_survive(house: House) -> None:
    files = sound_files()
    # Hidden by the first, too low, and one that survives.
    files["train/labels/000.txt"] = label("buoy", BOXES[0]) + label("gate", (5, 5, 30, 39))
    files["train/labels/001.txt"] = label("buoy", (4, 4, 31, 20)) + label("gate", BOXES[1])

    found = house.call("GET", f"{versions_of(house, files)}/1/preview", 200)

    assert (found["width"], found["height"], found["stride"]) == (64, 48, 16)
    assert buoys(found) == {
        "boxes": 4, "below_min_size": 0, "without_cell": 0, "too_low": 1, "learnable": 3
    }  # fmt: skip
    assert found["splits"]["train"]["gate"]["without_cell"] == 1


def test_at_half_the_size_half_the_height_counts(house: House) -> None:
    versions = versions_of(house, sound_files())

    small = house.call("GET", f"{versions}/1/preview?width=32&height=32", 200)

    # 36 of 48 pixels are 24 of 32: enough. At a grid that knows no 32x32 there is a clear answer.
    assert buoys(small)["too_low"] == 0
    assert "64x64" in house.call("GET", f"{versions}/1/preview?width=32&height=32&stride=32", 422)["detail"]
    finer = house.call("GET", f"{versions}/1/preview?width=32&height=32&stride=8", 200)
    assert finer["stride"] == 8


def test_validation_objects_below_the_minimum_are_dontcare_as_in_digits(house: House) -> None:
    versions = versions_of(house, sound_files(), val_min_box_size=30)

    found = house.call("GET", f"{versions}/1/preview", 200)

    # 27 pixels wide.
    assert buoys(found, "val") == {
        "boxes": 2, "below_min_size": 2, "without_cell": 0, "too_low": 0, "learnable": 0
    }  # fmt: skip
    assert buoys(found)["below_min_size"] == 0


def test_padding_comes_before_the_resize_as_in_digits(house: House) -> None:
    options = {"pad": {"width": 128, "height": 96}, "resize": {"width": 64, "height": 48}}
    versions = versions_of(house, sound_files(), **options)

    found = house.call("GET", f"{versions}/1/preview", 200)
    drawn = house.call("GET", f"{versions}/1/images/train/000/preview", 200)

    # 36 pixels of 96 are 18 of 48.
    assert (found["width"], found["height"], buoys(found)["too_low"]) == (64, 48, 4)
    pixels = cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (48, 64, 3)
    # Right of the middle there is padding: black but for the grid.
    assert not pixels[25:31, 33:47].any()


def test_the_suggestion_is_the_smallest_size_that_keeps_nearly_all(house: House) -> None:
    files = sound_files(kinds=("buoy",))
    for number in range(4):
        files[f"train/images/{number:03d}.png"] = picture(number, 320, 240)
        files[f"train/labels/{number:03d}.txt"] = label("buoy", (10, 10, 60, 30))

    found = house.call("GET", f"{versions_of(house, files)}/1/preview", 200)["suggestion"]

    # 20 of 240 pixels: 22 need 264, and 272 is the next multiple of 16.
    assert (found["width"], found["height"]) == (352, 272)
    assert "0% of the training boxes are 22 pixels" in found["reason"]
    assert buoys(found)["learnable"] == 4


def test_a_size_that_is_enough_stays() -> None:
    found = suggested_size(np.full(10, 0.5), (640, 480), (1280, 960))

    assert (found.width, found.height) == (640, 480)
    assert "enough" in found.reason


def test_the_suggestion_never_exceeds_twice_the_pictures() -> None:
    found = suggested_size(np.full(10, 0.001), (640, 480), (640, 480))

    assert (found.width, found.height) == (1280, 960)
    assert "as large as makes sense" in found.reason
    assert suggested_size(np.zeros(0), (64, 48), (64, 48)).width == 64


@pytest.mark.parametrize("stride", [8, 16])
def test_counts_agree_with_the_grid_that_training_is_given(house: House, stride: int) -> None:
    rng = np.random.default_rng(5)
    files = sound_files(train=6, kinds=("buoy",))
    for number in range(6):
        corners = rng.integers(-20, 60, (12, 2))
        boxes = np.hstack([corners, corners + rng.integers(1, 50, (12, 2))]).tolist()
        files[f"train/labels/{number:03d}.txt"] = b"".join(label("buoy", tuple(box)) for box in boxes)
    versions = versions_of(house, files)
    manifest = house.call("GET", f"{versions}/1", 200)
    table = Tables(house.store).of(manifest, "train")

    truth = GroundTruthOptions(stride=stride)

    seen = look_at_boxes(table.boxes, table.sizes, manifest["options"], (64, 48), stride)

    for number in range(6):
        rows = table.boxes["picture"] == number
        boxes = table.boxes["xyxy"][rows][::-1]
        # A class of its own for each box: a box survives where its channel is not empty.
        targets = encode_targets(boxes, np.arange(12), 64, 48, 12, truth)
        survived = (targets[8:] > 0).any(axis=(1, 2))[::-1]
        assert (~seen.hidden[rows] == survived).all()
        assert (covers_a_cell(boxes, 64, 48, truth)[::-1] >= survived).all()


def test_the_picture_shows_grid_coverage_and_boxes(house: House) -> None:
    files = sound_files(kinds=("buoy",))
    files["train/images/000.png"] = cv2.imencode(".png", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
    files["train/labels/000.txt"] = label("buoy", (40, 20, 100, 70))
    versions = versions_of(house, files)

    drawn = house.call("GET", f"{versions}/1/images/train/000/preview?width=128&height=96", 200)

    pixels = cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.content_type == "image/png"
    # The rectangle of 24x20 around (70,45) touches the cells from (48,32) to (96,64).
    assert pixels[40, 70].tolist() == [40, 110, 40]
    assert not pixels[75:79, 70].any()
    # A line of the grid where nothing else is.
    assert (pixels[80, 2:14] == 64).all()
    # The box's left edge.
    assert pixels[45, 40, 1] > 150


def test_a_plain_test_set_has_no_preview(house: House) -> None:
    dataset_id = house.dataset()
    ingest = house.ingest(dataset_id, as_zip({"a.png": picture()}), unlabelled=True)
    assert ingest["state"] == "SUCCEEDED", ingest

    problem = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/preview", 409)

    assert "nothing to learn" in problem["detail"]
    house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/statistics", 200)
