"""Statistics, plots, gallery filters, thumbnails and differences, and what they cost."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from periscope.documents import Documents
from periscope_dataset.browsing import Gallery
from periscope_dataset.differences import compare_boxes
from periscope_dataset.plots import plot
from periscope_dataset.rules import Catalogue
from periscope_dataset.tables import NotDescribed, Tables
from tests.kitti_archives import BOXES, Files, as_zip, label, picture, sound_files
from tests.unit.periscope_dataset.conftest import House

pytestmark = pytest.mark.slow


def versions_of(house: House, *contents: Files, **options: Any) -> str:
    """The URL of the versions of a data set that has these."""
    dataset_id = house.dataset()
    for files in contents:
        ingest = house.ingest(dataset_id, as_zip(files), **options)
        assert ingest["state"] == "SUCCEEDED", ingest["errors"]
    return f"/v1/datasets/{dataset_id}/versions"


def keys_of(answer: dict[str, Any]) -> list[str]:
    return [item["key"] for item in answer["items"]]


def test_statistics_count_sizes_shapes_and_places_by_class_and_split(house: House) -> None:
    files = sound_files()
    files["train/labels/000.txt"] = label("buoy", (0, 0, 8, 24)) + label("dontcare", (8, 8, 20, 20))

    found = house.call("GET", f"{versions_of(house, files)}/1/statistics", 200)["splits"]

    train = found["train"]
    assert (train["images"], train["boxes"], train["dontcare"]) == (4, 7, 1)
    assert train["sizes"] == [{"width": 64, "height": 48, "images": 4}]
    buoy = train["classes"]["buoy"]
    assert (buoy["boxes"], buoy["images"]) == (4, 4)
    assert buoy["width"]["min"] == 8
    assert buoy["height"]["max"] == 36
    assert buoy["aspect"]["min"] == pytest.approx(1 / 3, abs=1e-3)
    # (0,0,8,24) has its centre at (4,12) of 64x48: row 2 of 8, column 0.
    assert buoy["positions"][2][0] == 1
    assert sum(map(sum, buoy["positions"])) == 4
    assert found["val"]["classes"]["gate"]["boxes"] == 2


@pytest.mark.parametrize("name", ["counts", "sizes", "aspects", "positions"])
def test_each_plot_is_a_picture_with_something_on_it(house: House, name: str) -> None:
    versions = versions_of(house, sound_files())

    drawn = house.call("GET", f"{versions}/1/statistics.png?plot={name}", 200)

    pixels = cv2.imdecode(np.frombuffer(drawn.data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.content_type == "image/png"
    assert pixels.shape == (450, 800, 3)
    assert (pixels != 255).any(axis=2).mean() > 0.01


@pytest.mark.slow
def test_plots_take_any_class_name_and_no_boxes(house: House) -> None:
    table = Tables(house.store).of({"splits": {}}, "train")

    for name in ("counts", "sizes", "aspects", "positions"):
        assert plot(name, ["$\\frac$", "_hidden", "Boje-\u6d6e\u6a19"], {"train": table}).startswith(
            b"\x89PNG"
        )
        assert plot(name, [], {}).startswith(b"\x89PNG")


def test_the_gallery_shows_the_pictures_with_a_class_page_by_page(house: House) -> None:
    files = sound_files()
    for number in (1, 3):
        files[f"train/labels/{number:03d}.txt"] = label("gate", BOXES[0])
    images = f"{versions_of(house, files)}/1/images"

    first = house.call("GET", f"{images}?class=buoy&page_size=1", 200)
    second = house.call("GET", f"{images}?class=buoy&page_size=1&page_token={first['next_page_token']}", 200)

    assert (keys_of(first), keys_of(second)) == (["000"], ["002"])
    assert first["matched"] == 2
    assert second["next_page_token"] is None
    assert keys_of(house.call("GET", f"{images}?class=gate&split=val", 200)) == ["000", "001"]
    assert "buoy, gate" in house.call("GET", f"{images}?class=bouy", 422)["detail"]


def broken(files: Files, key: str, *boxes: tuple[float, float, float, float]) -> Files:
    return {**files, f"train/labels/{key}.txt": b"".join(label("buoy", box) for box in boxes)}


@pytest.mark.parametrize(
    ("finding", "files", "expected"),
    [
        ("box_low", broken(sound_files(), "001", (4, 4, 40, 14)), ["001"]),
        ("box_outside", broken(sound_files(), "001", (4, 4, 40, 90)), ["001"]),
        ("box_hidden", broken(sound_files(), "001", (4, 4, 40, 40), (5, 5, 39, 39)), ["001"]),
        ("duplicate_box", broken(sound_files(), "001", (4, 4, 40, 40), (4, 4, 40, 40)), ["001"]),
        ("touching_boxes", broken(sound_files(), "001", (4, 4, 30, 40), (28, 4, 60, 40)), ["001"]),
        ("empty_box", broken(sound_files(), "001", (4, 4, 4, 40), (4, 4, 40, 40)), ["001"]),
        ("leak", {**sound_files(), "train/images/003.png": picture(101)}, ["003"]),
        ("duplicate_image", {**sound_files(), "train/images/003.png": picture(1)}, ["001", "003"]),
        ("size_not_multiple", {**sound_files(), "train/images/003.png": picture(9, 72, 48)}, ["003"]),
    ],
)  # fmt: skip
def test_the_gallery_shows_every_picture_with_a_finding(
    house: House, finding: str, files: Files, expected: list[str]
) -> None:
    images = f"{versions_of(house, files)}/1/images"

    found = house.call("GET", f"{images}?finding={finding}", 200)

    assert keys_of(found) == expected
    assert not found["examples_only"]


def test_of_other_findings_the_gallery_shows_the_examples_and_says_so(house: House) -> None:
    files = sound_files()
    files["train/images/003.jpg"] = with_exif(picture(3, suffix=".jpg"))
    del files["train/images/003.png"]
    images = f"{versions_of(house, files)}/1/images"

    found = house.call("GET", f"{images}?finding=exif_rotated", 200)

    assert (keys_of(found), found["examples_only"]) == (["003"], True)
    house.call("GET", f"{images}?finding=nonsense", 422)


def with_exif(jpeg: bytes) -> bytes:
    """A JPEG that asks to be turned."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_thumbnails_are_small_kept_and_need_not_be_asked_for_again(house: House) -> None:
    versions = versions_of(house, {**sound_files(), "train/images/000.png": picture(0, 640, 320)})
    url = f"{versions}/1/images/train/000/thumbnail?side=64"

    first = house.call("GET", url, 200)
    house.store.calls.clear()
    again = house.call("GET", url, 200)

    assert cv2.imdecode(np.frombuffer(first.data, np.uint8), cv2.IMREAD_COLOR).shape == (32, 64, 3)
    assert "immutable" in first.headers["Cache-Control"]
    assert first.data == again.data
    assert "get_range" not in house.store.calls
    latest = house.call("GET", f"{versions}/latest/images/train/000/thumbnail", 200)
    assert "Cache-Control" not in latest.headers


def test_thumbnails_never_take_more_memory_than_they_may(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions_of(house, sound_files())
    catalogue = Catalogue(house.store, Documents(house.store))
    manifest = catalogue.manifest(catalogue.list()[0].id, "1")
    gallery = Gallery(house.store)
    entries = gallery.index(manifest, "train")[:]
    one = len(gallery.thumbnail(manifest, "train", entries[0], 64))
    monkeypatch.setattr("periscope_dataset.browsing.THUMBNAIL_BYTES", 2 * one + one // 2)

    for entry in entries:
        gallery.thumbnail(manifest, "train", entry, 64)

    assert sum(map(len, gallery._thumbnails.values())) <= 2 * one + one // 2


def test_a_difference_tells_pictures_and_boxes_that_came_went_and_changed(house: House) -> None:
    old = sound_files(train=5)
    new = dict(old)
    del new["train/images/000.png"], new["train/labels/000.txt"]
    new["train/images/007.png"], new["train/labels/007.txt"] = picture(77), label("buoy", BOXES[0])
    new["train/images/001.png"] = picture(88)
    new["train/labels/002.txt"] = label("buoy", (6, 4, 31, 40)) + label("gate", BOXES[1])
    new["train/labels/003.txt"] = label("buoy", BOXES[0])
    versions = versions_of(house, old, new)

    found = house.call("GET", f"{versions}/2/diff?base=1", 200)

    changes = {item["key"]: item for item in found["items"]}
    assert {key: item["change"] for key, item in changes.items()} == {
        "000": "removed", "001": "changed", "002": "relabelled", "003": "relabelled", "007": "added",
    }  # fmt: skip
    assert (changes["002"]["boxes_changed"], changes["003"]["boxes_removed"]) == (1, 1)
    assert found["splits"]["train"] == {
        "images_added": 1, "images_removed": 1, "images_changed": 1, "images_relabelled": 2,
        "boxes_added": 1, "boxes_removed": 3, "boxes_changed": 1,
    }  # fmt: skip
    assert set(found["splits"]["val"].values()) == {0}
    assert house.call("GET", f"{versions}/2/diff?base=2", 200)["items"] == []
    page = house.call("GET", f"{versions}/2/diff?base=1&page_size=2", 200)
    rest = house.call("GET", f"{versions}/2/diff?base=1&page_token={page['next_page_token']}", 200)
    assert [*keys_of(page), *keys_of(rest)] == keys_of(found)


def test_a_new_class_before_the_others_changes_no_box_of_theirs(house: House) -> None:
    old, new = sound_files(), sound_files()
    new["train/labels/000.txt"] += label("anchor", (4, 42, 30, 47))
    versions = versions_of(house, old, new)

    found = house.call("GET", f"{versions}/2/diff?base=1", 200)

    assert [(item["key"], item["boxes_added"]) for item in found["items"]] == [("000", 1)]


def test_boxes_are_compared_whatever_their_order() -> None:
    one, other, far = ("a", (0.0, 0.0, 9.0, 9.0)), ("b", (0.0, 0.0, 9.0, 9.0)), ("a", (50.0, 0.0, 60.0, 9.0))

    assert compare_boxes([one, far], [far, one]) == (0, 0, 0)
    assert compare_boxes([one], [other]) == (0, 0, 1)
    assert compare_boxes([one], [far]) == (1, 1, 0)
    assert compare_boxes([one, one], [one]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("path", "blobs"),
    [
        ("images", 1), ("images?class=buoy", 5), ("images?finding=leak", 5), ("statistics", 4),
        ("statistics.png", 4), ("preview", 4), ("diff?base=1", 4),
    ],
)  # fmt: skip
def test_what_a_call_asks_of_the_store_does_not_grow_with_the_pictures(
    house: House, path: str, blobs: int
) -> None:
    # The data set and the manifest, of a difference both.
    documents = 3 if path.startswith("diff") else 2
    for number, train in enumerate((4, 40)):
        dataset_id = house.dataset(f"d{number}")
        house.ingest(dataset_id, as_zip(sound_files(train, train // 2)))
        house.store.calls.clear()
        house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/{path}", 200)
        assert house.store.calls == {"get": documents + blobs}
        house.store.calls.clear()
        house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/{path}", 200)
        # Indexes and tables are kept.
        assert house.store.calls == {"get": documents}


def test_a_version_from_before_the_tables_says_what_to_do(house: House) -> None:
    versions_of(house, sound_files())
    manifest = Catalogue(house.store, Documents(house.store))
    told = manifest.manifest(manifest.list()[0].id, "1")
    del told["splits"]["train"]["boxes_table"]

    with pytest.raises(NotDescribed, match="ingest the archive again"):
        Tables(house.store).of(told, "train")
