"""What the options do: class maps, DIGITS's own, quota, groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectnet.classes import DONTCARE, UnknownClass
from detectnet.kitti import parse_label
from periscope.wire.ingest_options import IngestOptions
from periscope_dataset.app import create_service
from periscope_dataset.class_mapping import ClassMapping
from periscope_dataset.options import WITHOUT_EFFECT, BadOptions, understood
from periscope_dataset.settings import Settings
from tests.dataset_corpus import BUOY, GATE, healthy, labelled
from tests.fakes import MemoryStore
from tests.kitti_archives import Files, as_zip, label, sound_files
from tests.unit.periscope_dataset.conftest import TOKEN, House

KINDS = {"buoy": "Red_Buoy", "gate": "gate"}


def colourful() -> Files:
    """The healthy data set with more types than classes."""
    files = healthy()
    for name in [name for name in files if name.endswith(".txt")]:
        odd = int(name[-7:-4]) % 2
        files[name] = label("Red_Buoy" if odd else "green_buoy", BUOY) + label("Gate", GATE)
    files["train/labels/000.txt"] += label("diver", (46, 20, 58, 60)) + label("fish", (46, 4, 58, 16))
    return files


def object_types(house: House, dataset_id: str, key: str) -> list[tuple[str, int]]:
    shown = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/images/train/{key}", 200)
    return [(item["type"], item["line"]) for item in shown["objects"]]


MAP: dict[str, Any] = {
    "names": ["gate", "buoy"], "merge": {"red_buoy": "buoy", "GREEN_buoy": "Buoy"}, "dontcare": ["Fish"], "drop": ["diver"],
}  # fmt: skip


def test_a_class_map_merges_drops_and_makes_dont_care_and_keeps_the_lines(house: House) -> None:
    dataset_id = house.dataset()

    ingest = house.ingest(dataset_id, as_zip(colourful()), classes=MAP)

    assert (ingest["state"], ingest["errors"]) == ("SUCCEEDED", [])
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["classes"] == ["gate", "buoy"]
    counts = manifest["statistics"]["boxes_per_class"]
    assert counts == {"train": {"gate": 12, "buoy": 12}, "val": {"gate": 11, "buoy": 11}}
    assert object_types(house, dataset_id, "000") == [("buoy", 1), ("gate", 2), (DONTCARE, 4)]
    assert manifest["options"]["classes"]["merge"]["red_buoy"] == "buoy"


@pytest.mark.parametrize(
    ("unknown", "kept"), [("dontcare", [("gate", 2), (DONTCARE, 1)]), ("drop", [("gate", 2)])]
)
def test_types_that_nobody_named_may_be_dont_care_or_nothing(
    house: House, unknown: str, kept: list[tuple[str, int]]
) -> None:
    dataset_id = house.dataset()

    house.ingest(dataset_id, as_zip(healthy()), classes={"names": ["gate"], "unknown": unknown})

    assert sorted(object_types(house, dataset_id, "000"), reverse=True) == kept


def test_without_names_the_classes_are_what_the_map_makes_of_the_labels(house: House) -> None:
    dataset_id = house.dataset()

    house.ingest(dataset_id, as_zip(colourful()), classes=MAP | {"names": None})

    assert house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["classes"] == ["buoy", "gate"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a merge that leads nowhere": ({"classes": {"names": ["gate"], "merge": {"a": "buoy"}}}, "'buoy'"),
    "a type in two lists": ({"classes": {"names": ["gate"], "drop": ["a"], "dontcare": ["A"]}}, "keep one of both"),
    "a class that is dropped": ({"classes": {"names": ["gate"], "drop": ["gate"]}}, "keep one of both"),
    "unknown without names": ({"classes": {"unknown": "drop"}}, "give names too"),
    "two lists of classes": ({"classes": ["gate"], "custom_classes": "gate"}, "one of both"),
    "a ratio of a test set": ({"unlabelled": True, "val_ratio": 0.1}, "val_ratio"),
    "a class twice": ({"custom_classes": "gate, Gate"}, "twice"),
    "a resize that the grid does not fit": ({"resize": {"width": 100, "height": 64}}, "96"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_options_that_make_no_sense_are_refused_at_once(house: House, what: str) -> None:
    options, told = BAD[what]
    dataset_id = house.dataset()
    upload_id = house.upload(dataset_id, as_zip(sound_files()))

    answer = house.call(
        "POST", f"/v1/datasets/{dataset_id}/uploads/{upload_id}:finalize", 422, json={"options": options}
    )

    assert told in answer["detail"]
    assert house.store.keys("documents/ingests/") == []


@given(
    st.lists(
        st.sampled_from(["buoy", "Buoy", "red_buoy", "fish", "diver", "other", "DontCare", ""]), max_size=9
    )
)
def test_a_mapped_label_has_the_kinds_of_its_types_line_for_line(types: list[str]) -> None:
    mapping = ClassMapping.of({"names": ["buoy", "gate"], "merge": {"red_buoy": "buoy"}, "dontcare": ["fish"],
                               "drop": ["diver"], "unknown": "drop"})  # fmt: skip
    text = "".join(label(kind).decode() if kind else "\n" for kind in types)

    objects = parse_label(mapping.rewritten(text), "label")

    expected = {number: mapping.kind_of(kind) for number, kind in enumerate(types, start=1) if kind}
    assert {item.line_number: item.type for item in objects} == {
        n: kind for n, kind in expected.items() if kind
    }


def test_an_unknown_type_is_an_error_where_nothing_else_is_said() -> None:
    with pytest.raises(UnknownClass, match="shark"):
        ClassMapping.of(["buoy"]).rewritten(label("shark").decode())


def test_all_options_of_digits_are_taken_and_those_without_effect_are_noted(house: House) -> None:
    asked = {
        "pad": {"width": 1248, "height": 384}, "resize": {"width": 640, "height": 192}, "val_min_box_size": 25,
        "custom_classes": "dontcare, Buoy ,gate", "channel_conversion": "L", "feature_encoding": "jpg",
        "label_encoding": "none", "encoder_batch_size": 16, "encoder_threads": 8, "backend": "lmdb", "force_same_shape": False,
    }  # fmt: skip
    dataset_id = house.dataset()

    ingest = house.ingest(dataset_id, as_zip(healthy()), **asked)

    assert ingest["state"] == "SUCCEEDED"
    assert sorted(note.split()[0] for note in ingest["notes"]) == sorted(WITHOUT_EFFECT)
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["classes"] == ["buoy", "gate"]
    assert manifest["notes"] == ingest["notes"]
    assert not WITHOUT_EFFECT.keys() & manifest["options"].keys()


def meant(**asked: Any) -> tuple[dict[str, Any], list[str]]:
    model = IngestOptions.model_validate(asked)
    return understood(model.model_dump(), model.model_fields_set)


def test_what_nobody_asked_for_is_not_noted() -> None:
    assert meant(val_min_box_size=10)[1] == []


def test_digits_defaults_are_its_padding_and_dont_care_for_unknown_types() -> None:
    options, _ = meant(defaults="digits", custom_classes="dontcare,car")

    assert options["pad"] == {"width": 1248, "height": 384}
    assert options["val_min_box_size"] == 25
    assert ClassMapping.of(options["classes"]).kind_of("shark") == DONTCARE
    assert meant(defaults="digits", pad=None)[0]["pad"] is None, "what is given stands"


def test_the_default_options_are_digits_own_where_it_has_them() -> None:
    default = IngestOptions.model_validate({})

    assert (default.val_min_box_size, default.channel_conversion, default.feature_encoding) == (
        25,
        "RGB",
        "png",
    )
    assert (default.label_encoding, default.encoder_batch_size, default.encoder_threads) == ("none", 32, 4)
    assert (default.backend, default.force_same_shape, default.custom_classes) == ("lmdb", True, None)


def test_bad_options_name_a_way_out() -> None:
    with pytest.raises(BadOptions, match="leave val_ratio out"):
        meant(unlabelled=True, val_ratio=0.5)


def test_datasets_are_listed_by_group(house: House) -> None:
    made = house.call("POST", "/v1/datasets", 201, json={"name": "dive 1", "group": "pool"})
    house.dataset("dive 2")

    assert made["group"] == "pool"
    assert [item["name"] for item in house.call("GET", "/v1/datasets?group=pool", 200)["items"]] == ["dive 1"]


def limited(store: MemoryStore, folder: Path, quota_bytes: int) -> House:
    service = create_service(Settings(folder, TOKEN, quota_bytes=quota_bytes), store, "holder")
    return House(store, service, service.app.test_client())


def test_a_quota_counts_versions_once_and_uploads_under_way(
    memory_store: MemoryStore, tmp_path: Path
) -> None:
    house, archive = limited(memory_store, tmp_path, 1 << 20), as_zip(sound_files())
    dataset_id = house.dataset()
    for _ in range(2):
        house.ingest(dataset_id, archive)
    blobs = sum(info.size_bytes for info in memory_store.list("blobs/"))
    url, room = f"/v1/datasets/{dataset_id}/uploads", (1 << 20) - blobs

    refused = house.call("POST", url, 409, json={"filename": "x.zip", "size_bytes": room + 1})
    house.call("POST", url, 201, json={"filename": "x.zip", "size_bytes": room})
    house.call("POST", url, 409, json={"filename": "x.zip", "size_bytes": 1})

    assert f"datasets take {blobs} of {1 << 20} bytes" in refused["detail"]
    assert "remove versions" in refused["detail"]


def test_a_quota_holds_for_folders_of_the_bucket_too(memory_store: MemoryStore, tmp_path: Path) -> None:
    house = limited(memory_store, tmp_path, 1000)
    memory_store.put("imports/dive/train/images/0.png", b"x" * 1001)

    house.call("POST", f"/v1/datasets/{house.dataset()}/ingests", 409, json={"prefix": "imports/dive/"})

    assert memory_store.keys("documents/ingests/") == []


def test_labels_are_kept_byte_for_byte_where_the_map_changes_nothing(house: House) -> None:
    dataset_id = house.dataset()
    files = healthy() | {
        "train/labels/000.txt": labelled().replace(b"buoy", b"BUOY").replace(b" 0 0 0 ", b"  0 0 0 ", 1)
    }

    house.ingest(dataset_id, as_zip(files), classes={"names": ["buoy", "gate"], "drop": ["fish"]})

    text = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1/images/train/000/label", 200)
    assert text.get_data() == files["train/labels/000.txt"]
