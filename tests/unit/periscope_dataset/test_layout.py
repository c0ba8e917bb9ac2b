"""Where members of an archive belong."""

from __future__ import annotations

import pytest

from periscope_dataset.layout import Place, place_of


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("train/images/1.png", Place("", "train", "images", "1")),
        ("./val/labels/1.txt", Place("", "val", "labels", "1")),
        ("my dive/2026/val/images/a.b.JPEG", Place("my dive/2026", "val", "images", "a.b")),
        ("train/images/left camera/1.ppm", Place("", "train", "images", "1")),
        ("train/labels/1.TXT", Place("", "train", "labels", "1")),
        ("train/train/images/1.bmp", Place("train", "train", "images", "1")),
    ],
)
def test_a_member_of_the_data_set_is_recognised(path: str, place: Place) -> None:
    assert place_of(path) == place


@pytest.mark.parametrize("path", ["train/images/1.webp", "train/labels/sub/1.txt", "val/labels/1.png"])
def test_a_file_of_neither_sort_has_no_key(path: str) -> None:
    place = place_of(path)

    assert place is not None
    assert place.key is None


@pytest.mark.parametrize(
    "path",
    [
        "README", "train/images", "images/1.png", "train/1.png", "tests/images/1.png",
        "__MACOSX/train/images/1.png", "train/images/._1.png", "train/images/.DS_Store",
    ],
)  # fmt: skip
def test_what_lies_elsewhere_or_is_junk_does_not_count(path: str) -> None:
    assert place_of(path) is None
