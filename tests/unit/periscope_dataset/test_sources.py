"""Folders of the bucket, test sets, and JSON files of any size."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from periscope_dataset import ingest, json_stream
from periscope_dataset.json_stream import BadJson, entries
from tests.dataset_corpus import healthy, picture
from tests.exports import EXPORTS, coco_2017
from tests.kitti_archives import Files, as_zip, label
from tests.unit.periscope_dataset.conftest import House

pytestmark = pytest.mark.slow

PREFIX = "imports/pool/dive 7/"


def copied(house: House, files: Files) -> None:
    for name, body in files.items():
        house.store.put(f"{PREFIX}{name}", body)


def imported(house: House, dataset_id: str, **options: Any) -> dict[str, Any]:
    url = f"/v1/datasets/{dataset_id}/ingests"
    made = house.call("POST", url, 202, json={"prefix": PREFIX, "options": options})
    house.worker.step()
    found: dict[str, Any] = house.call("GET", f"{url}/{made['id']}", 200)
    return found


@pytest.mark.parametrize("what", ["KITTI", *EXPORTS])
def test_a_folder_of_the_bucket_becomes_the_version_that_an_archive_of_it_does(
    house: House, what: str
) -> None:
    files = healthy() if what == "KITTI" else EXPORTS[what]()
    dataset_id = house.dataset()
    copied(house, files)

    ended = imported(house, dataset_id)
    house.ingest(dataset_id, as_zip(files))

    assert (ended["state"], ended["errors"]) == ("SUCCEEDED", [])
    first, second = house.call("GET", f"/v1/datasets/{dataset_id}/versions", 200)["items"]
    assert first["splits"] == second["splits"]
    assert first["source"]["filename"] == PREFIX
    assert first["source"]["files"] == len(files)
    assert house.store.keys(PREFIX), "what was copied there stays"


def test_a_folder_that_changes_while_it_is_read_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(house, healthy())
    check_label = ingest.check_label

    def meanwhile(*args: Any) -> Any:
        house.store.put(f"{PREFIX}train/labels/011.txt", label("shark"))
        return check_label(*args)

    monkeypatch.setattr(ingest, "check_label", meanwhile)
    ended = imported(house, house.dataset())

    assert [error["code"] for error in ended["errors"]] == ["source_changed"]
    assert house.store.keys("versions/") == []


def test_an_empty_folder_is_told(house: House) -> None:
    ended = imported(house, house.dataset())

    assert ended["errors"][0]["code"] == "layout"
    assert PREFIX in ended["errors"][0]["message"]


@pytest.mark.parametrize(
    "prefix", ["documents/", "imports/", "imports/../documents/", "imports/dive", "imports//x/"]
)
def test_only_folders_below_imports_are_read(house: House, prefix: str) -> None:
    house.store.put("imports/../documents/x", b"x")
    answer = house.client.post(
        f"/v1/datasets/{house.dataset()}/ingests",
        json={"prefix": prefix},
        headers={"Authorization": "Bearer admin-token"},
    )

    if prefix == "imports/../documents/":
        # A key is no path: this names objects that begin so, and nothing else.
        assert answer.status_code == 202
    else:
        assert answer.status_code == 422


def test_plain_pictures_become_a_test_set_that_nobody_can_train_on(house: House) -> None:
    dataset_id = house.dataset()
    files = {f"some/folder/{n}.png": picture(n) for n in range(5)} | {"notes.txt": b"hello"}

    ended = house.ingest(dataset_id, as_zip(files), unlabelled=True)

    assert (ended["state"], ended["errors"]) == ("SUCCEEDED", [])
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["classes"] == []
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {
        "train": 0,
        "val": 0,
        "test": 5,
    }
    assert manifest["splits"]["test"]["unlabelled"] == 5
    shown = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/images/test/3", 200)
    assert shown["objects"] == []
    assert house.call(
        "GET", f"/v1/datasets/{dataset_id}/versions/1/images/test/3/original", 200
    ).get_data() == picture(3)
    assert (
        house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/images/test/3.png", 200).mimetype
        == "image/png"
    )


def test_plain_pictures_without_the_option_are_told_of_it(house: House) -> None:
    ended = house.ingest(house.dataset(), as_zip({f"{n}.png": picture(n) for n in range(5)}))

    assert [error["code"] for error in ended["errors"]] == ["layout"]
    assert "unlabelled" in ended["errors"][0]["advice"]


@pytest.mark.parametrize("with_labels", [True, False])
def test_a_test_folder_comes_along_with_its_labels_or_without(house: House, with_labels: bool) -> None:
    files = healthy() | {f"test/images/{n}.png": picture(500 + n) for n in range(3)}
    files |= {f"test/labels/{n}.txt": label("buoy", (4, 4, 44, 44)) for n in range(3 if with_labels else 0)}
    dataset_id = house.dataset()

    ended = house.ingest(dataset_id, as_zip(files))

    assert (ended["state"], ended["findings"]) == ("SUCCEEDED", [])
    split = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["splits"]["test"]
    assert (split["images"], split["boxes"], split.get("unlabelled")) == (
        3,
        3 if with_labels else 0,
        None if with_labels else 3,
    )


def test_a_version_without_a_test_set_says_so(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(healthy()))

    for path in ("images?split=test", "images/test/000", "images/test/000.png", "images/test/000/original"):
        house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/{path}", 404)


def listed(body: bytes) -> list[tuple[str, Any]]:
    return list(entries(io.BytesIO(body), ("images", "annotations")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(JSON, max_size=5), st.lists(JSON, max_size=5), st.dictionaries(st.text(min_size=12), JSON, max_size=3),
    st.sampled_from([None, 1]), st.integers(1, 40), st.booleans(),
)  # fmt: skip
def test_entries_are_read_as_the_whole_file_would_be_however_the_pieces_fall(
    images: list[Any],
    annotations: list[Any],
    rest: dict[str, Any],
    indent: int | None,
    chunk: int,
    escaped: bool,
) -> None:
    document = {"images": images, **rest, "annotations": annotations}
    body = json.dumps(document, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK_BYTES", chunk)
        assert listed(body) == [("images", item) for item in images] + [
            ("annotations", item) for item in annotations
        ]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"images"', b'{"images": [', b'{"images": [1', b'{"images": [1, 2]', b"\xff{}", b'{"a": nope}'],
)  # fmt: skip
def test_what_is_no_json_object_or_cut_off_is_told(body: bytes) -> None:
    with pytest.raises(BadJson):
        listed(body)


def test_a_value_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_VALUE_CHARS", 1000)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 100)

    with pytest.raises(BadJson, match="too long"):
        listed(b'{"images": ["' + b"x" * 100_000)


def test_coco_lists_its_objects_before_its_pictures_too(house: House) -> None:
    files = coco_2017()
    name = "annotations/instances_val2017.json"
    document = json.loads(files[name])
    files[name] = json.dumps(dict(reversed(document.items()))).encode()
    dataset_id = house.dataset()

    house.ingest(dataset_id, as_zip(files))

    assert house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["splits"]["val"]["boxes"] == 22
