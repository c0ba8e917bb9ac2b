"""The synthetic sea: the same bytes each time, and boxes that fit what is drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detectnet.kitti import parse_label
from periscope_embedded import underwater_objects
from periscope_embedded.underwater import CLASSES, make_picture, write_dataset
from periscope_embedded.underwater_objects import Placement, draw_buoy, draw_gate
from periscope_embedded.water import Textures, Water

pytestmark = pytest.mark.slow

SMALL = {"train_images": 4, "val_images": 2, "width": 160, "height": 128}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def textures() -> Textures:
    return Textures.make(np.random.default_rng(1))


def still_water(side: int = 400) -> Water:
    """Clear black water in which everything drawn shows as it is."""
    black = np.zeros((side, side, 3), np.float32)
    return Water(black.copy(), black, np.zeros(3, np.float32), 1.0)


def drawn_extent(water: Water) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(water.picture.max(axis=2) > 0.02)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", **SMALL, seed=3)
    write_dataset(tmp_path / "b", **SMALL, seed=3)

    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    write_dataset(tmp_path / "a", **SMALL, seed=3)
    write_dataset(tmp_path / "b", **SMALL, seed=4)

    pairs = zip(contents(tmp_path / "a").values(), contents(tmp_path / "b").values(), strict=True)
    assert all(a != b for a, b in pairs)


def test_more_pictures_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    write_dataset(tmp_path / "few", **SMALL)
    write_dataset(tmp_path / "more", **{**SMALL, "train_images": 6})

    assert contents(tmp_path / "few").items() <= contents(tmp_path / "more").items()


def test_it_is_a_kitti_folder_of_pictures_of_the_asked_size(tmp_path: Path) -> None:
    write_dataset(tmp_path, **SMALL)

    images = sorted(tmp_path.glob("*/images/*.jpg"))
    assert [path.parent.parent.name for path in images] == ["train"] * 4 + ["val"] * 2
    assert {cv2.imread(str(path)).shape for path in images} == {(128, 160, 3)}
    assert all((path.parents[1] / "labels" / f"{path.stem}.txt").exists() for path in images)


def test_every_box_lies_inside_its_picture_and_is_worth_detecting(textures: Textures) -> None:
    boxes = [
        box for seed in range(60) for box in make_picture(np.random.default_rng(seed), textures, 320, 320)[1]
    ]
    corners = np.array([box.xyxy for box in boxes])

    assert len(boxes) > 60
    assert {box.type for box in boxes} == set(CLASSES)
    assert (corners >= 0).all()
    assert (corners <= 320).all()
    assert (corners[:, 2:] - corners[:, :2]).min() >= 20
    assert any(box.truncated > 0 for box in boxes)
    assert all(box.truncated < 0.6 for box in boxes)


def test_labels_are_read_back_as_they_were_meant(textures: Textures) -> None:
    _, boxes = make_picture(np.random.default_rng(5), textures, 320, 320)
    read = parse_label("".join(box.to_kitti() + "\n" for box in boxes), "000005.txt")

    assert [found.type for found in read] == [box.type for box in boxes]
    assert np.allclose([found.xyxy for found in read], [box.xyxy for box in boxes], atol=0.005)


@pytest.mark.parametrize("seed", range(12))
def test_a_buoys_box_fits_the_ball(seed: int, textures: Textures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underwater_objects, "_draw_tether", lambda *_: None)
    water = still_water()
    box = draw_buoy(water, np.random.default_rng(seed), Placement(200, 190, 90, 2.0), textures)

    assert np.abs(np.array(drawn_extent(water)) - box).max() <= 2.5


@pytest.mark.parametrize("seed", range(12))
def test_a_gates_box_fits_its_bars(seed: int, textures: Textures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underwater_objects, "_draw_lines", lambda *_: None)
    water = still_water()
    box = draw_gate(water, np.random.default_rng(seed), Placement(200, 190, 160, 2.0), textures)

    assert np.abs(np.array(drawn_extent(water)) - box).max() <= 2.5


def test_only_the_asked_kinds_occur(tmp_path: Path) -> None:
    write_dataset(tmp_path, **{**SMALL, "train_images": 12}, kinds=["gate"])
    text = "".join(path.read_text() for path in tmp_path.rglob("*.txt"))

    assert "gate" in text
    assert "buoy" not in text


def test_progress_is_told_picture_by_picture(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_dataset(tmp_path, **SMALL, on_progress=lambda done, total: told.append((done, total)))

    assert told == [(done, 6) for done in range(1, 7)]
