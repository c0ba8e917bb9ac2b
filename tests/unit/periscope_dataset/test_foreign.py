"""Exports of other tools become the same version as DIGITS's own folders, and say what is wrong where."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from periscope_dataset.dividing import divide
from tests.dataset_corpus import BUOY, GATE, healthy
from tests.exports import EXPORTS, coco_2017, voc_devkit, yolo_v8
from tests.kitti_archives import Files, as_tar, as_zip
from tests.unit.periscope_dataset.conftest import House

pytestmark = pytest.mark.slow


def manifest_of(house: House, files: Files, **options: Any) -> dict[str, Any]:
    dataset_id = house.dataset()
    ingest = house.ingest(dataset_id, as_zip(files), **options)
    assert (ingest["state"], ingest["findings"]) == ("SUCCEEDED", []), ingest["findings"]
    manifest: dict[str, Any] = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    return manifest


@pytest.mark.parametrize("what", EXPORTS)
def test_an_export_becomes_a_version_with_the_same_boxes(house: House, what: str) -> None:
    manifest = manifest_of(house, EXPORTS[what]())

    assert manifest["classes"] == ["buoy", "gate"]
    assert [manifest["splits"][name]["images"] for name in ("train", "val")] == [12, 11]
    shown = house.call("GET", f"/v1/datasets/{manifest['dataset_id']}/versions/1/images/val/val003", 200)
    assert [(item["type"], item["xyxy"]) for item in shown["objects"]] == [
        ("buoy", pytest.approx(BUOY, abs=1e-4)),
        ("gate", pytest.approx(GATE, abs=1e-4)),
    ]


BROKEN: dict[str, tuple[Files, str, str, int | None]] = {
    "a word in a YOLO line": (
        yolo_v8() | {"set/labels/train/train001.txt": b"0 .5 .5 .1 .1\n0 .5 here .1 .1\n"},
        "label", "set/labels/train/train001.txt", 2,
    ),
    "a class without name": (
        yolo_v8() | {"set/labels/val/val001.txt": b"7 .5 .5 .1 .1\n"}, "label", "set/labels/val/val001.txt", 1,
    ),
    "an XML that is cut off": (
        voc_devkit() | {"VOCdevkit/VOC2012/Annotations/val002.xml": b"<annotation><object>"},
        "label", "VOCdevkit/VOC2012/Annotations/val002.xml", None,
    ),
    "an XML with entities": (
        voc_devkit() | {"VOCdevkit/VOC2012/Annotations/val002.xml": b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"},
        "label", "VOCdevkit/VOC2012/Annotations/val002.xml", None,
    ),
    "a JSON that is cut off": (
        coco_2017() | {"annotations/instances_train2017.json": b'{"images": [{"id": 1, "file_name": "a'},
        "annotations", "annotations/instances_train2017.json", None,
    ),
    "a COCO box of three numbers": (
        coco_2017() | {"annotations/instances_val2017.json": b'{"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}'},
        "annotations", "annotations/instances_val2017.json", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_told_with_its_place(house: House, what: str) -> None:
    files, code, file, line = BROKEN[what]

    ingest = house.ingest(house.dataset(), as_tar(files))

    assert ingest["state"] == "FAILED"
    assert [(error["code"], error["file"], error["line"]) for error in ingest["errors"]] == [
        (code, file, line)
    ]


@pytest.mark.parametrize(
    "files",
    [
        coco_2017() | {"info.txt": b"12 pictures\n"},
        yolo_v8() | {"set/settings.json": b"{}"},
        voc_devkit() | {"a.txt": b"b"},
    ],
    ids=["COCO and a text", "YOLO and a JSON", "VOC and a text"],
)
def test_what_lies_beside_the_labels_is_not_taken_for_them(house: House, files: Files) -> None:
    assert manifest_of(house, files)["splits"]["train"]["boxes"] == 24


def test_in_yolo_a_picture_without_label_shows_nothing(house: House) -> None:
    files = yolo_v8()
    del files["set/labels/train/train004.txt"]

    assert manifest_of(house, files)["splits"]["train"]["boxes"] == 22


def without_split() -> Files:
    return {
        name.replace("train/", "all/")
        .replace("val/images/", "all/images/v")
        .replace("val/labels/", "all/labels/v"): b
        for name, b in healthy(train=100).items()
    }


def test_without_val_a_ratio_divides_the_pictures_the_same_each_time(house: House) -> None:
    dataset_id = house.dataset()
    for _ in range(2):
        house.ingest(dataset_id, as_zip(without_split()), val_ratio=0.2)
    first, second = house.call("GET", f"/v1/datasets/{dataset_id}/versions", 200)["items"]

    assert [first["splits"][name]["images"] for name in ("train", "val")] == [89, 22]
    assert first["splits"] == second["splits"]
    assert first["options"]["val_ratio"] == 0.2
    assert first["division"] == {"by": "ratio", "val_ratio": 0.2, "group_by": "picture"}


def test_a_ratio_that_was_not_needed_is_not_said_to_be_used(house: House) -> None:
    assert manifest_of(house, yolo_v8(), val_ratio=0.2)["division"] == {"by": "folders"}


def test_without_val_and_ratio_the_ratio_is_named(house: House) -> None:
    ingest = house.ingest(house.dataset(), as_zip(without_split()))

    assert [error["code"] for error in ingest["errors"]] == ["empty_split"]
    assert "val_ratio" in ingest["errors"][0]["advice"]


def test_frames_of_one_folder_never_straddle() -> None:
    hashes = {f"dive{n % 10}/{n}.png": f"{n:064x}" for n in range(200)}

    splits = divide(hashes, {}, 0.3, "folder")

    by_dive = {path.split("/")[0]: {splits[other] for other in hashes if other.startswith(path.split("/")[0] + "/")}
               for path in hashes}  # fmt: skip
    assert all(len(found) == 1 for found in by_dive.values())
    assert list(splits.values()).count("val") == 60


def test_frames_of_one_sequence_never_straddle_though_they_share_a_folder() -> None:
    names = [f"dive{n % 10}_frame{n:06d}_jpg.rf.{n * 7919:x}" for n in range(100)]
    names += [f"gopro-{n % 10}-{n:04d}" for n in range(100)]
    hashes = {f"train/images/{name}.jpg": hashlib.sha256(name.encode()).hexdigest() for name in names}

    splits = divide(hashes, {}, 0.3, "sequence")

    sequences = {
        path: path.split("_frame")[0].rpartition("-")[0] or path.split("_frame")[0] for path in hashes
    }
    assert len(set(sequences.values())) == 20
    for sequence in set(sequences.values()):
        assert len({splits[path] for path in hashes if sequences[path] == sequence}) == 1
    assert list(splits.values()).count("val") == 60


def test_names_do_not_decide_who_is_drawn() -> None:
    hashes = {f"{n}.png": hashlib.sha256(str(n).encode()).hexdigest() for n in range(100)}
    renamed = {f"renamed/{999 - int(path.split('.')[0])}.png": told for path, told in hashes.items()}

    by_hash = {hashes[path]: split for path, split in divide(hashes, {}, 0.3, "picture").items()}

    assert {renamed[path]: split for path, split in divide(renamed, {}, 0.3, "picture").items()} == by_hash


def test_each_class_is_divided_by_the_ratio() -> None:
    hashes = {f"{n}.png": f"{n:064x}" for n in range(1000)}
    classes = {f"{n}.png": frozenset({"common"} | ({"rare"} if n % 50 == 0 else set())) for n in range(1000)}

    splits = divide(hashes, classes, 0.25, "picture")

    assert sum(splits[path] == "val" for path in hashes) == 250
    assert sum(splits[path] == "val" for path in hashes if "rare" in classes[path]) == 5


def test_equal_pictures_stay_together() -> None:
    splits = divide({f"{n}.png": f"{n // 2:064x}" for n in range(100)}, {}, 0.5, "picture")

    assert all(splits[f"{n}.png"] == splits[f"{n + 1}.png"] for n in range(0, 100, 2))
