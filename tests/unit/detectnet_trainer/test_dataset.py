from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detectnet.classes import ClassMap
from detectnet.samples import BadData, InputOptions, SourceImage, input_options, prepare
from detectnet_trainer.cache import identity_of, open_split, save_split
from detectnet_trainer.dataset import (
    Split,
    build_folder_split,
    build_split,
    class_names_of_folder,
    read_kitti_folder,
)
from tests.unit.detectnet_trainer.small_data import NAMES, SIDE, folder_of, picture, pictures, split_of

OPTIONS = InputOptions(64, 64, ClassMap(NAMES))


def labelled(label: str, width: int = 64, height: int = 64) -> SourceImage:
    pixels = np.full((height, width, 3), 50, np.uint8)
    return SourceImage("a.png", cv2.imencode(".png", pixels)[1].tobytes(), label)


def line(kind: str, box: str, z: float = 0.0) -> str:
    return f"{kind} 0 0 0 {box} 0 0 0 0 0 {z} 0\n"


def test_a_picture_is_padded_at_the_top_left_and_then_resized_with_its_boxes() -> None:
    options = InputOptions(64, 32, ClassMap(NAMES), pad=(128, 128))
    image, boxes, indices = prepare(labelled(line("ball", "10 20 50 60"), 100, 64), options)

    assert image.shape == (32, 64, 3)
    assert image[:16, :50].min() == 50
    assert image[17:].max() == 0
    assert boxes.tolist() == [[5, 5, 25, 15]]
    assert indices.tolist() == [0]


def test_boxes_stand_in_writing_order_the_nearest_last() -> None:
    label = (
        line("ball", "0 0 10 10", z=3) + line("box", "0 0 20 20", z=9) + line("dontcare", "0 0 30 30", z=5)
    )
    _, boxes, indices = prepare(labelled(label), OPTIONS)

    assert boxes[:, 2].tolist() == [20, 30, 10]
    assert indices.tolist() == [1, -1, 0]


def test_small_objects_become_dont_care_in_pixels_of_the_file() -> None:
    options = InputOptions(64, 64, ClassMap(NAMES), min_box_size=25)
    label = line("ball", "0 0 25 25") + line("box", "0 0 24 60")
    _, boxes, indices = prepare(labelled(label, 32, 64), options)

    assert indices.tolist() == [-1, 0]
    assert len(boxes) == 2


def test_the_minimum_size_counts_for_validation_only() -> None:
    spec = {
        "network": {"width": 64, "height": 64, "classes": list(NAMES)},
        "options_of_dataset": {"val_min_box_size": 25},
    }

    assert input_options(spec, validation=True).min_box_size == 25
    assert input_options(spec, validation=False).min_box_size == 0


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (labelled("ball 0 0 0 1 2 three 4 0 0 0 0 0 0 0\n"), r"a\.txt, line 1: right is 'three'"),
        (labelled("\n" + line("fish", "0 0 9 9")), "fish"),
        (SourceImage("a.png", b"no picture", ""), r"a\.png"),
        (SourceImage("a.png", picture(0).image[:300], ""), r"a\.png"),
    ],
    ids=["word in a number's place", "unknown class", "no picture", "cut off"],
)
def test_what_cannot_be_used_is_named(source: SourceImage, complaint: str) -> None:
    with pytest.raises(BadData, match=complaint):
        prepare(source, OPTIONS)


def test_a_picture_larger_than_the_padding_is_refused() -> None:
    with pytest.raises(BadData, match="larger than the padding"):
        prepare(labelled("", 100, 64), InputOptions(64, 64, ClassMap(NAMES), pad=(96, 96)))


@pytest.mark.parametrize(("there", "expected"), [(3, 4), (4, 3)])
def test_a_wrong_number_of_pictures_is_refused(tmp_path: Path, there: int, expected: int) -> None:
    with pytest.raises(BadData, match=f"expected|were {expected}"):
        build_split(pictures(there), expected, OPTIONS, tmp_path / "a.npy")


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, train=4)
    split = build_folder_split(folder / "train", (SIDE, SIDE), ClassMap(NAMES), tmp_path / "a.npy")

    assert [source.name for source in read_kitti_folder(folder / "train")] == [
        f"{index:04d}.png" for index in range(4)
    ]
    assert len(split) == 4
    assert split.box_count == 4
    assert class_names_of_folder(folder) == ["ball", "box"]


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "train" / "labels" / "0002.txt").unlink()

    with pytest.raises(BadData, match=r"0002\.png has no label file"):
        list(read_kitti_folder(folder / "train"))


def test_a_folder_without_pictures_or_without_its_two_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="needs the folders"):
        list(read_kitti_folder(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(BadData, match="holds no picture"):
        list(read_kitti_folder(tmp_path))


def saved(tmp_path: Path) -> Split:
    return save_split(split_of(pictures(3), tmp_path / "draft"), tmp_path / "val", "one")


def test_a_saved_split_is_opened_again_as_it_was(tmp_path: Path) -> None:
    split, again = saved(tmp_path), open_split(tmp_path / "val", "one")

    assert again is not None
    assert (again.images == split.images).all()
    assert all((a == b).all() for a, b in zip(again.boxes, split.boxes, strict=True))
    assert all((a == b).all() for a, b in zip(again.class_indices, split.class_indices, strict=True))


def test_a_split_of_another_identity_is_not_opened(tmp_path: Path) -> None:
    saved(tmp_path)

    assert open_split(tmp_path / "val", "two") is None
    assert open_split(tmp_path / "train", "one") is None


@pytest.mark.parametrize("name", ["val.npz", "val.npy"])
def test_a_damaged_cache_is_not_opened(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])

    assert open_split(tmp_path / "val", "one") is None


def test_the_identity_tells_sizes_classes_and_sources_apart() -> None:
    reference = identity_of(OPTIONS, ["a", "b"])
    others = [
        identity_of(InputOptions(64, 48, ClassMap(NAMES)), ["a", "b"]),
        identity_of(InputOptions(64, 64, ClassMap(NAMES[::-1])), ["a", "b"]),
        identity_of(InputOptions(64, 64, ClassMap(NAMES), min_box_size=1), ["a", "b"]),
        identity_of(InputOptions(64, 64, ClassMap(NAMES), pad=(1, 2)), ["a", "b"]),
        identity_of(OPTIONS, ["b", "a"]),
    ]

    assert identity_of(InputOptions(64, 64, ClassMap(NAMES)), ["a", "b"]) == reference
    assert len({reference, *others}) == 6
