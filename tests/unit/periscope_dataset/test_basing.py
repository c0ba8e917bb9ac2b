"""Versions made from versions: appended to, partly replaced, without some pictures."""

from __future__ import annotations

from typing import Any

import pytest

from periscope import keys
from tests.kitti_archives import BOXES, Files, as_zip, label, picture, sound_files
from tests.unit.periscope_dataset.conftest import House
from tests.unit.periscope_dataset.test_browsing import keys_of


def first_version(house: House, files: Files | None = None, **options: Any) -> str:
    dataset_id = house.dataset()
    assert house.ingest(dataset_id, as_zip(files or sound_files()), **options)["state"] == "SUCCEEDED"
    return dataset_id


def based(house: House, dataset_id: str, files: Files, mode: str, **more: Any) -> dict[str, Any]:
    """The ingest of an upload onto version 1, at its end."""
    upload_id = house.upload(dataset_id, as_zip(files))
    path = f"/v1/datasets/{dataset_id}/uploads/{upload_id}:finalize"
    body = {"base": {"version": 1, "mode": mode}, **more}
    ingest_id = house.call("POST", path, 202, json=body)["id"]
    house.worker.step()
    found: dict[str, Any] = house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)
    return found


def changes(house: House, dataset_id: str) -> dict[str, str]:
    found = house.call("GET", f"/v1/datasets/{dataset_id}/versions/2/diff?base=1", 200)
    return {f"{item['split']}/{item['key']}": item["change"] for item in found["items"]}


def more_files(name: str = "100") -> Files:
    return {
        f"dive/train/images/{name}.png": picture(55),
        f"dive/train/labels/{name}.txt": label("buoy", BOXES[0]),
    }


def test_an_upload_is_appended_to_a_version_and_both_stay(house: House) -> None:
    dataset_id = first_version(house)
    before = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)

    ingest = based(house, dataset_id, more_files(), "append", description="a dive more", labels={"pool": "B"})

    assert (ingest["state"], ingest["version"]) == ("SUCCEEDED", 2), ingest["errors"]
    assert changes(house, dataset_id) == {"train/100": "added"}
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/2", 200)
    assert manifest["lineage"] == {"base_version": 1, "action": "append"}
    assert (manifest["description"], manifest["labels"]) == ("a dive more", {"pool": "B"})
    assert manifest["options"] == before["options"]
    assert house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200) == before
    assert (before["lineage"], before["description"], before["labels"]) == (None, "", {})


def test_versions_share_the_blobs_that_are_equal(house: House) -> None:
    dataset_id = first_version(house)
    blobs = set(house.store.keys(keys.BLOBS))

    based(house, dataset_id, more_files(), "append")
    one, two = (house.call("GET", f"/v1/datasets/{dataset_id}/versions/{n}", 200) for n in (1, 2))

    assert one["splits"]["val"] == two["splits"]["val"]
    # Of train: the shard, the index and the table.
    assert len(set(house.store.keys(keys.BLOBS)) - blobs) == 3


def test_appending_what_is_there_already_is_an_error_that_names_both(house: House) -> None:
    dataset_id = first_version(house)

    ingest = based(house, dataset_id, more_files("000"), "append")

    assert ingest["state"] == "FAILED"
    assert {error["code"] for error in ingest["errors"]} == {"duplicate_name"}
    assert "version-1/train/images/000.png" in ingest["errors"][0]["message"]


def test_replacing_takes_the_uploads_files_and_keeps_the_others(house: House) -> None:
    dataset_id = first_version(house)
    files = {
        "train/labels/001.txt": label("gate", BOXES[0]),
        "train/images/002.jpg": picture(66, suffix=".jpg"),
        **{name.removeprefix("dive/"): body for name, body in more_files().items()},
    }

    ingest = based(house, dataset_id, files, "replace")

    assert ingest["state"] == "SUCCEEDED", ingest["errors"]
    assert changes(house, dataset_id) == {
        "train/001": "relabelled", "train/002": "changed", "train/100": "added"
    }  # fmt: skip
    image = house.call("GET", f"/v1/datasets/{dataset_id}/versions/2/images/train/002", 200)
    assert (image["filename"], image["boxes"]) == ("002.jpg", 2)


def test_pictures_are_removed_in_a_new_version(house: House) -> None:
    dataset_id = first_version(house)
    versions = f"/v1/datasets/{dataset_id}/versions"
    body = {"images": [{"split": "train", "key": "001"}, {"split": "val", "key": "000"}]}

    ingest = house.call("POST", f"{versions}/latest:remove-images", 202, json=body)
    house.worker.step()

    assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest['id']}", 200)["version"] == 2
    assert changes(house, dataset_id) == {"train/001": "removed", "val/000": "removed"}
    lineage = house.call("GET", f"{versions}/2", 200)["lineage"]
    assert lineage == {"base_version": 1, "action": "remove", "removed": 2}
    assert len(keys_of(house.call("GET", f"{versions}/1/images", 200))) == 4
    unknown = {"images": [{"split": "train", "key": "nothing"}]}
    house.call("POST", f"{versions}/1:remove-images", 404, json=unknown)


def test_removing_all_of_a_split_fails_as_an_upload_without_it_would(house: House) -> None:
    dataset_id = first_version(house)
    body = {"images": [{"split": "val", "key": key} for key in ("000", "001")]}

    ingest = house.call("POST", f"/v1/datasets/{dataset_id}/versions/1:remove-images", 202, json=body)
    house.worker.step()

    ended = house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest['id']}", 200)
    assert [error["code"] for error in ended["errors"]] == ["empty_split"]


def test_the_bases_options_hold_unless_others_are_given(house: House) -> None:
    dataset_id = first_version(house, classes=["gate", "buoy"], val_min_box_size=7)

    ingest = based(house, dataset_id, more_files(), "append", options={"val_min_box_size": 8})

    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/{ingest['version']}", 200)
    assert manifest["classes"] == ["gate", "buoy"]
    assert manifest["options"]["val_min_box_size"] == 8


def test_the_same_lint_looks_at_the_whole(house: House) -> None:
    dataset_id = first_version(house)
    files = {"train/images/100.png": picture(101), "train/labels/100.txt": label("buoy", BOXES[0])}

    ingest = based(house, dataset_id, files, "append")

    # The new training picture is a validation picture of the base.
    assert "leak" in {finding["code"] for finding in ingest["findings"]}


def test_a_coco_export_is_appended_too_and_unlabelled_tests_stay_so(house: House) -> None:
    files = {**sound_files(), "test/images/t.png": picture(7)}
    dataset_id = first_version(house, files)
    voc = (
        "<annotation><filename>n.png</filename><size><width>64</width><height>48</height><depth>3</depth>"
        "</size><object><name>buoy</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>40</ymax>"
        "</bndbox></object></annotation>"
    )
    more = {"JPEGImages/n.png": picture(44), "Annotations/n.xml": voc.encode()}

    ingest = based(house, dataset_id, more, "append")

    assert ingest["state"] == "SUCCEEDED", ingest["errors"]
    assert changes(house, dataset_id) == {"train/n": "added"}
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/2", 200)
    assert manifest["splits"]["test"]["unlabelled"] == 1


def test_a_base_that_is_not_there_is_told_at_once_or_when_it_went_meanwhile(house: House) -> None:
    dataset_id = first_version(house)
    upload_id = house.upload(dataset_id, as_zip(more_files()))
    path = f"/v1/datasets/{dataset_id}/uploads/{upload_id}:finalize"
    house.call("POST", path, 404, json={"base": {"version": 9, "mode": "append"}})
    ingest = house.call("POST", path, 202, json={"base": {"version": 1, "mode": "append"}})

    house.call("DELETE", f"/v1/datasets/{dataset_id}/versions/1", 204)
    house.worker.step()

    ended = house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest['id']}", 200)
    assert [error["code"] for error in ended["errors"]] == ["base_missing"]


@pytest.mark.parametrize("other", [{"description": "else"}, {"base": {"version": 1, "mode": "replace"}}])
def test_a_second_finalize_with_another_wish_is_refused(house: House, other: dict[str, Any]) -> None:
    dataset_id = first_version(house)
    path = f"/v1/datasets/{dataset_id}/uploads/{house.upload(dataset_id, as_zip(more_files()))}:finalize"
    body = {"base": {"version": 1, "mode": "append"}}

    first = house.call("POST", path, 202, json=body)["id"]

    assert house.call("POST", path, 202, json=body)["id"] == first
    house.call("POST", path, 409, json=body | other)
