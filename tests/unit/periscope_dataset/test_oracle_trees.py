"""Trees written by another library, and a real data set in all four formats, become the versions they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectnet.image_files import require_sound_file
from detectnet.kitti import parse_label
from tests import oracle
from tests.dataset_corpus import BUOY, GATE, HEIGHT, WIDTH, picture
from tests.kitti_archives import Files, as_tar, as_zip
from tests.unit.periscope_dataset.conftest import House
from tests.unit.periscope_dataset.test_exports import FORMS, alike, boxes_of, exported

BCCD = Path(__file__).resolve().parents[4] / "shared" / "data" / "bccd-kitti"
NAMES = ["buoy", "gate"]
COUNTS = {"train": 12, "val": 11}
OBJECTS: oracle.Objects = [("buoy", BUOY), ("gate", (GATE[0] + 0.25, GATE[1], GATE[2], GATE[3] - 0.125))]


def written(form: str, folder: Path) -> Files:
    """A tree of labelformat's own labels, with our pictures beside."""
    for split, count in COUNTS.items():
        stems = [f"{split}-{number:02d}" for number in range(count)]
        played = oracle.Played(
            dict.fromkeys(stems, (WIDTH, HEIGHT)), dict.fromkeys(stems, OBJECTS), NAMES, ".png"
        )
        oracle.write(form, folder, split, played)
        place = folder / oracle.IMAGE_FOLDER[form].format(split=split)
        place.mkdir(parents=True, exist_ok=True)
        for number, stem in enumerate(stems):
            (place / f"{stem}.png").write_bytes(picture(number + 100 * (split == "val")))
    return oracle.tree(folder)


@pytest.mark.parametrize("form", FORMS)
def test_a_tree_of_another_library_becomes_the_version_it_should(
    house: House, form: str, tmp_path: Path
) -> None:
    dataset_id = house.dataset()

    ended = house.ingest(dataset_id, as_zip(written(form, tmp_path / form)))

    assert (ended["state"], ended["errors"], ended["warnings"]) == ("SUCCEEDED", [], [])
    for split, count in COUNTS.items():
        wanted = {f"{split}-{number:02d}": OBJECTS for number in range(count)}
        assert alike(boxes_of(house, dataset_id, split), wanted)


def cells(folder: Path) -> oracle.Seen:
    """BCCD's labels as they stand in its files."""
    return {
        path.stem: [(item.type, item.xyxy) for item in parse_label(path.read_text(), path.name)]
        for path in sorted((folder / "labels").glob("*.txt"))
    }


def small(folder: Path, split: str, count: int) -> Files:
    """The first pictures of a split with their labels, as archives of ours have them."""
    files: Files = {}
    for path in sorted((folder / "images").iterdir())[:count]:
        files[f"{split}/images/{path.name}"] = path.read_bytes()
        files[f"{split}/labels/{path.stem}.txt"] = (folder / "labels" / f"{path.stem}.txt").read_bytes()
    return files


@pytest.mark.slow
def test_real_pictures_of_cells_come_home_from_all_four_formats(house: House, tmp_path: Path) -> None:
    if not BCCD.is_dir():
        return  # A set of its own, laid beside the project where there is room for it.
    counts = {"train": 24, "val": 12}
    files = {
        name: body
        for split, count in counts.items()
        for name, body in small(BCCD / split, split, count).items()
    }
    home = house.dataset("home")
    ended = house.ingest(home, as_zip(files))
    assert (ended["state"], ended["errors"]) == ("SUCCEEDED", [])
    for split in counts:
        real = cells(BCCD / split)
        seen = boxes_of(house, home, split)
        assert alike(seen, {key: real[key] for key in seen})
        names = sorted({name for found in real.values() for name, _ in found})
        for form in FORMS:
            # Once as we write it, read by the other library, once the other way round.
            oracle.unzip(exported(house, home, form), tmp_path / form)
            assert alike(oracle.read(form, tmp_path / form, split, names), seen), (form, split)
    sizes = {Path(name).stem: require_sound_file(body) for name, body in files.items() if "/images/" in name}
    for form in FORMS:
        tree = tmp_path / f"{form} of the other"
        for split in counts:
            played = oracle.Played(sizes, boxes_of(house, home, split), names, ".jpg")
            oracle.write(form, tree, split, played)
            place = tree / oracle.IMAGE_FOLDER[form].format(split=split)
            place.mkdir(parents=True, exist_ok=True)
            for name, body in files.items():
                if name.startswith(f"{split}/images/"):
                    (place / Path(name).name).write_bytes(body)
        back = house.dataset(f"back from {form}")
        ended = house.ingest(back, as_tar(oracle.tree(tree), "w:gz"))
        assert (ended["state"], ended["errors"]) == ("SUCCEEDED", []), form
        for split in counts:
            assert alike(boxes_of(house, back, split), boxes_of(house, home, split)), (form, split)
