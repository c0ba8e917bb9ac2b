"""The dataset service's calls: names, uploads, options, browsing."""

from __future__ import annotations

import cv2
import numpy as np

from periscope.web.auth import unprotected_routes
from tests.kitti_archives import as_zip, picture, sound_files
from tests.unit.periscope_dataset.conftest import House


def test_a_name_belongs_to_one_dataset(house: House) -> None:
    dataset_id = house.dataset("dive")

    problem = house.call("POST", "/v1/datasets", 409, json={"name": "dive"})

    assert dataset_id in problem["detail"]


def test_a_dataset_is_found_by_its_name(house: House) -> None:
    house.dataset("one")
    dataset_id = house.dataset("two")

    found = house.call("GET", "/v1/datasets?name=two", 200)["items"]

    assert [item["id"] for item in found] == [dataset_id]


def test_datasets_are_listed_page_by_page(house: House) -> None:
    made = [house.dataset(f"d{number}") for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = house.call("GET", f"/v1/datasets?page_size=2{token}", 200)
        seen += [item["id"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        token = f"&page_token={page['next_page_token']}"

    assert seen == made


def test_a_size_that_is_no_multiple_of_16_names_the_nearest(house: House) -> None:
    dataset_id = house.dataset()
    upload_id = house.upload(dataset_id, as_zip(sound_files()))

    path = f"/v1/datasets/{dataset_id}/uploads/{upload_id}:finalize"
    problem = house.call("POST", path, 422, json={"options": {"resize": {"width": 600, "height": 480}}})

    assert "592x480" in problem["detail"]
    assert "608x480" in problem["detail"]


def test_a_misspelt_option_is_refused(house: House) -> None:
    dataset_id = house.dataset()
    path = f"/v1/datasets/{dataset_id}/uploads/{house.upload(dataset_id, b'x')}:finalize"

    problem = house.call("POST", path, 422, json={"options": {"clases": ["buoy"]}})

    assert problem["errors"][0]["pointer"] == "/options/clases"


def test_an_incomplete_upload_is_told_and_can_be_completed(house: House) -> None:
    dataset_id = house.dataset()
    announced = {"filename": "dive.zip", "size_bytes": 40 << 20}
    upload = house.call("POST", f"/v1/datasets/{dataset_id}/uploads", 201, json=announced)
    assert [part["size_bytes"] for part in upload["parts"]] == [16 << 20, 16 << 20, 8 << 20]

    path = f"/v1/datasets/{dataset_id}/uploads/{upload['upload_id']}:finalize"
    problem = house.call("POST", path, 409, json={})

    assert "3 of 3 parts" in problem["detail"]


def test_another_datasets_upload_is_unknown(house: House) -> None:
    upload_id = house.upload(house.dataset("one"), b"x")

    house.call("POST", f"/v1/datasets/{house.dataset('two')}/uploads/{upload_id}:finalize", 404, json={})


def test_a_second_finalize_finds_the_same_ingest(house: House) -> None:
    dataset_id = house.dataset()
    upload_id = house.upload(dataset_id, as_zip(sound_files()))

    assert house.finalize(dataset_id, upload_id) == house.finalize(dataset_id, upload_id)
    house.worker.step()
    house.worker.step()
    assert len(house.call("GET", f"/v1/datasets/{dataset_id}/versions", 200)["items"]) == 1


def test_pictures_are_browsed_one_by_one_out_of_the_shard(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))
    base = f"/v1/datasets/{dataset_id}/versions/1/images"

    listed = house.call("GET", f"{base}?split=val", 200)["items"]
    shown = house.call("GET", f"{base}/val/001", 200)
    original = house.call("GET", f"{base}/val/001/original", 200)
    label = house.call("GET", f"{base}/val/001/label", 200)
    drawn = house.call("GET", f"{base}/val/001.png", 200)

    assert [item["key"] for item in listed] == ["000", "001"]
    assert [(item["type"], item["class_index"]) for item in shown["objects"]] == [("buoy", 0), ("gate", 1)]
    assert original.data == picture(101)
    assert [line.split()[0] for line in label.text.splitlines()] == ["buoy", "gate"]
    pixels = cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (48, 64, 3)
    plain = cv2.imdecode(np.frombuffer(picture(101), np.uint8), cv2.IMREAD_COLOR)
    assert (pixels[40, 10:30] != plain[40, 10:30]).any(axis=1).all()
    assert "iterate" in house.store.calls
    assert house.store.calls["get_range"] >= 3


def test_what_does_not_exist_is_404(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))

    for path in (
        "/v1/datasets/nonsense",
        "/v1/datasets/01ARZ3NDEKTSV4RRFFQ69G5FAV",
        f"/v1/datasets/{dataset_id}/versions/2",
        f"/v1/datasets/{dataset_id}/ingests/01ARZ3NDEKTSV4RRFFQ69G5FAV",
        f"/v1/datasets/{dataset_id}/versions/1/images/val/none",
    ):
        house.call("GET", path, 404)


def test_every_route_asks_for_a_role(house: House) -> None:
    assert unprotected_routes(house.client.application) == []


def test_a_request_without_token_is_401(house: House) -> None:
    answer = house.client.get("/v1/datasets")

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
