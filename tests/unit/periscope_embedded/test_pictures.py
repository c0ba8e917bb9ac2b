"""Where a run's pictures come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectnet.sizes import require_grid_size
from periscope_embedded.pictures import (
    LARGEST_AREA,
    UnusableData,
    folder_source,
    load_validation,
    network_size,
    synthetic_source,
)
from periscope_embedded.underwater import write_dataset

SIZE = (128, 96)


def told_nothing(_done: int, _total: int) -> None:
    return


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Dive 12 (night)"
    write_dataset(folder, train_images=2, val_images=5, width=150, height=100)
    return folder


def test_the_synthetic_sea_is_generated_once_for_the_same_wishes(tmp_path: Path) -> None:
    told: list[int] = []
    for _ in range(2):
        source = synthetic_source(tmp_path, SIZE, (2, 1), None, lambda done, _: told.append(done))

    assert told == [1, 2, 3]
    assert (source.name, source.size) == ("underwater", SIZE)


def test_half_a_generation_is_begun_anew(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic_source(tmp_path, SIZE, (2, 1), None, stop)
    source = synthetic_source(tmp_path, SIZE, (2, 1), None, told_nothing)

    assert len(list(source.folder.rglob("*.jpg"))) == 3


def test_a_class_that_the_synthetic_sea_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="buoy and gate, not shark"):
        synthetic_source(tmp_path, SIZE, (2, 1), ["gate", "shark"], told_nothing)


def test_a_folder_gets_a_name_that_a_model_may_have(folder: Path) -> None:
    assert folder_source(folder, None).name == "dive-12-night"


def test_the_size_of_a_folders_pictures_is_chosen_and_said(folder: Path) -> None:
    source = folder_source(folder, None)

    assert source.size == (144, 96)
    assert "150x100" in source.size_note


def test_a_size_that_was_asked_for_is_taken_as_it_is(folder: Path) -> None:
    source = folder_source(folder, (320, 240))

    assert (source.size, source.size_note) == ((320, 240), "")


@pytest.mark.parametrize("picture", [(640, 480), (1920, 1080), (100, 4000), (33, 33), (416, 416)])
def test_a_chosen_size_is_legal_and_not_too_large(picture: tuple[int, int]) -> None:
    width, height = network_size(picture)

    require_grid_size(width, height)
    assert width * height <= max(LARGEST_AREA, 32 * 4000)
    assert (width, height) == picture or width < picture[0]


def test_the_fingerprint_follows_the_files(folder: Path) -> None:
    before = folder_source(folder, None).fingerprint
    (folder / "train" / "labels" / "000000.txt").write_text("")

    assert folder_source(folder, None).fingerprint != before


def test_a_folder_without_labels_is_refused(folder: Path) -> None:
    (folder / "val" / "labels").rename(folder / "val" / "label")

    with pytest.raises(UnusableData, match="val/labels missing"):
        folder_source(folder, None)


def test_validation_pictures_come_with_their_labels_evenly_spread(folder: Path) -> None:
    pictures = load_validation(folder, 3)

    assert [picture.name for picture in pictures] == ["000000.jpg", "000001.jpg", "000003.jpg"]
    assert all(picture.image.shape == (100, 150, 3) for picture in pictures)
