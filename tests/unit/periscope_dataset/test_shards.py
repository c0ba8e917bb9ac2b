"""Shards and their index."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from periscope.blobs import hash_file
from periscope_dataset.index import Index
from periscope_dataset.shards import (
    IndexEntry,
    Picture,
    index_lines,
    plan_shards,
    shard_member_bytes,
    write_shard,
)


def pictures(folder: Path, count: int, size_bytes: int = 3000) -> list[Picture]:
    made = []
    for number in range(count):
        image, label = folder / f"image-{number}", folder / f"label-{number}"
        image.write_bytes(bytes([number]) * (size_bytes + number))
        label.write_bytes(f"buoy {number}\n".encode() * number)
        made.append(Picture(f"{number:03d}", f"{number:03d}.PNG", image, label, 64, 48, number, "hash"))
    return made


def shards_of(made: list[Picture], folder: Path, shard_bytes: int) -> tuple[list[bytes], list[IndexEntry]]:
    shards = [
        write_shard([made[place] for place in part], folder / f"train-{number}.tar", number)
        for number, part in enumerate(
            plan_shards(map(shard_member_bytes, made), [p.key for p in made], shard_bytes)
        )
    ]
    for shard in shards:
        assert shard.ref == hash_file(shard.path)
    return [shard.path.read_bytes() for shard in shards], [e for shard in shards for e in shard.entries]


def test_the_index_tells_where_the_bytes_lie(tmp_path: Path) -> None:
    made = pictures(tmp_path, 9)

    shards, entries = shards_of(made, tmp_path, 15_000)

    assert len(shards) == 3
    for picture, entry in zip(made, entries, strict=True):
        shard = shards[entry.shard]
        assert shard[entry.image_offset :][: entry.image_size] == picture.image_path.read_bytes()
        assert shard[entry.label_offset :][: entry.label_size] == picture.label_path.read_bytes()


def test_a_shard_is_a_tar_of_pictures_each_followed_by_its_label(tmp_path: Path) -> None:
    shard = write_shard(pictures(tmp_path, 3), tmp_path / "train.tar", 0)

    with tarfile.open(shard.path) as tar:
        assert tar.getnames() == ["000.png", "000.txt", "001.png", "001.txt", "002.png", "002.txt"]


def test_equal_pictures_give_equal_shards_whenever_they_are_written(tmp_path: Path) -> None:
    first = shards_of(pictures(tmp_path, 5), tmp_path, 10_000)
    (tmp_path / "later").mkdir()

    assert shards_of(pictures(tmp_path / "later", 5), tmp_path / "later", 10_000) == first


def test_a_picture_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    shards, entries = shards_of(pictures(tmp_path, 3), tmp_path, 1)

    assert len(shards) == 3
    assert [entry.shard for entry in entries] == [0, 1, 2]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    entries = write_shard(pictures(tmp_path, 9), tmp_path / "train.tar", 0).entries
    return Index(index_lines(entries))


def test_an_index_finds_pictures_by_key(index: Index) -> None:
    assert len(index) == 9
    assert index.find("007") == json.loads(json.dumps(index[7]))
    assert index[7]["boxes"] == 7
    assert index.find("0070") is None
    assert index.find("999") is None


def test_an_index_is_read_page_by_page(index: Index) -> None:
    assert [entry["key"] for entry in index.after(None, 2)] == ["000", "001"]
    assert [entry["key"] for entry in index.after("006", 5)] == ["007", "008"]
    assert [entry["key"] for entry in index.after("0035", 1)] == ["004"]
    assert index.after("008", 5) == []


def test_an_index_of_nothing_is_empty() -> None:
    assert Index(b"").after(None, 5) == []
    assert Index(b"").find("a") is None


def test_behind_a_picture_that_came_the_shards_are_soon_the_same() -> None:
    names = [f"{number:05d}" for number in range(2000)]
    with_one_more = [*names[:100], "00099-b", *names[100:]]

    old, new = (
        {tuple(keys[part.start : part.stop]) for part in plan_shards([1000] * len(keys), keys, 200_000)}
        for keys in (names, with_one_more)
    )

    assert len(old) >= 10
    assert len(new - old) <= 3
    assert all(100 <= len(part) <= 201 for part in sorted(new)[:-1])
