"""A version goes out in four formats, is read by another library, and comes home as it was."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from periscope import keys
from periscope_dataset import exporting, reading, zip_stream
from periscope_dataset.zip_stream import ZipStream
from tests import oracle
from tests.dataset_corpus import HEIGHT, TRAIN, VAL, WIDTH, healthy, labelled
from tests.fakes import MemoryStore
from tests.kitti_archives import Files, as_zip, label
from tests.unit.periscope_dataset.conftest import House, open_house

pytestmark = pytest.mark.slow

FORMS = ("kitti", "coco", "yolo", "voc")
NAMES = ["buoy", "gate"]


def exported(house: House, dataset_id: str, form: str, version: str = "latest") -> bytes:
    answer = house.call("GET", f"/v1/datasets/{dataset_id}/versions/{version}/export?format={form}", 200)
    assert answer.mimetype == "application/zip"
    body: bytes = answer.get_data()
    answer.close()
    return body


def members(body: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def boxes_of(house: House, dataset_id: str, split: str) -> oracle.Seen:
    base = f"/v1/datasets/{dataset_id}/versions/latest/images"
    listed = house.call("GET", f"{base}?split={split}", 200)["items"]
    return {
        item["key"]: [
            (found["type"], tuple(found["xyxy"]))
            for found in house.call("GET", f"{base}/{split}/{item['key']}", 200)["objects"]
        ]
        for item in listed
    }


def alike(seen: oracle.Seen, wanted: oracle.Seen) -> bool:
    return {
        key: [(name, pytest.approx(box, abs=1e-6)) for name, box in found] for key, found in seen.items()
    } == wanted


def test_kitti_gives_back_every_byte(house: House) -> None:
    files = healthy() | {"train/labels/003.txt": labelled().replace(b"0.00 0 0.00", b"0.25 2 -1.57")}
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(files))

    assert members(exported(house, dataset_id, "kitti")) == files


@pytest.mark.parametrize("form", FORMS)
def test_equal_versions_give_equal_zips_with_every_picture_as_it_came(house: House, form: str) -> None:
    files = healthy()
    dataset_id = house.dataset()
    for _ in range(2):
        house.ingest(dataset_id, as_zip(files))

    first = exported(house, dataset_id, form, "1")

    assert first == exported(house, dataset_id, form, "2")
    pictures = sorted(body for name, body in members(first).items() if name.endswith(".png"))
    assert pictures == sorted(body for name, body in files.items() if name.endswith(".png"))


@st.composite
def objects(draw: st.DrawFn) -> oracle.Objects:
    """Objects with an area inside the picture, in millionths of a pixel at most."""
    found: oracle.Objects = []
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        x1, x2 = sorted(draw(st.lists(st.integers(0, WIDTH * 10**6), min_size=2, max_size=2, unique=True)))
        y1, y2 = sorted(draw(st.lists(st.integers(0, HEIGHT * 10**6), min_size=2, max_size=2, unique=True)))
        found.append((name, (x1 / 1e6, y1 / 1e6, x2 / 1e6, y2 / 1e6)))
    return found


def labels(found: oracle.Objects) -> bytes:
    return b"".join(label(name, box) for name, box in found)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(objects(), min_size=3, max_size=3))
def test_all_formats_come_home_and_another_library_sees_the_same(drawn: list[oracle.Objects]) -> None:
    files = healthy(train=4, val=2)
    for number, found in enumerate(drawn):
        files[f"train/labels/{number:03d}.txt"] = labels(found)
    with tempfile.TemporaryDirectory() as folder:
        house = open_house(MemoryStore(), Path(folder) / "work")
        home = house.dataset("home")
        house.ingest(home, as_zip(files))
        wanted = {split: boxes_of(house, home, split) for split in ("train", "val")}
        for form in FORMS:
            body = exported(house, home, form)
            oracle.unzip(body, Path(folder) / form)
            back = house.dataset(f"back from {form}")
            assert house.ingest(back, body)["state"] == "SUCCEEDED"
            for split in ("train", "val"):
                assert alike(oracle.read(form, Path(folder) / form, split, NAMES), wanted[split]), (
                    form,
                    split,
                )
                assert alike(boxes_of(house, back, split), wanted[split]), (form, split)


def awkward(house: House) -> str:
    """Don't care, what reaches out of the picture, and a box without area."""
    text = (
        labelled()
        + label("DontCare", (0, 0, 9, 9))
        + label("buoy", (100, 50, 130, 70))
        + label("gate", (5, 5, 5, 9))
    )
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(healthy() | {"train/labels/000.txt": text}))
    return dataset_id


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_dont_care_and_odd_boxes_come_home_where_the_format_has_words_for_them(
    house: House, form: str
) -> None:
    home = awkward(house)
    back = house.dataset("back")

    house.ingest(back, exported(house, home, form))

    assert alike(boxes_of(house, back, "train"), boxes_of(house, home, "train"))


def test_yolo_has_no_word_for_dont_care_and_ends_at_the_pictures_edge(house: House) -> None:
    text = members(exported(house, awkward(house), "yolo"))["labels/train/000.txt"].decode()

    rows = [[float(word) for word in line.split()] for line in text.splitlines()]
    assert [row[0] for row in rows] == [0, 1, 0]
    assert all(
        x - w / 2 >= 0 and x + w / 2 <= 1 and y - h / 2 >= 0 and y + h / 2 <= 1 for _, x, y, w, h in rows
    )


def test_a_form_that_nobody_knows_is_refused(house: House) -> None:
    house.call("GET", f"/v1/datasets/{house.dataset()}/versions/1/export?format=tfrecord", 422)
    house.call("GET", f"/v1/datasets/{house.dataset('other')}/versions/1/export", 404)


def test_only_so_many_exports_are_sent_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(healthy()))
    url = f"/v1/datasets/{dataset_id}/versions/1/export"
    open_answers = [house.call("GET", url, 200, buffered=False) for _ in range(exporting.AT_ONCE)]
    house.call("GET", url, 503)

    for answer in open_answers:
        answer.close()

    exported(house, dataset_id, "kitti")


def test_an_export_reads_its_shards_in_pieces_of_bounded_size(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW_BYTES", 60_000)
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(healthy()))
    asked: list[int] = []
    get_range = house.store.get_range

    def counted(key: str, start: int, length: int) -> bytes:
        asked.append(length)
        return get_range(key, start, length)

    monkeypatch.setattr(house.store, "get_range", counted)
    assert members(exported(house, dataset_id, "kitti")) == healthy()
    assert max(asked) <= 60_000
    assert len(asked) < TRAIN + VAL, "not one request a picture either"


def test_a_lost_shard_ends_the_answer_early_so_that_the_client_knows(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(healthy()))
    shard = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)["splits"]["val"]["shards"][0]
    house.store.delete(keys.blob(shard["sha256"]))

    with pytest.raises(Exception, match=shard["sha256"]):
        exported(house, dataset_id, "kitti")


def test_a_zip_of_more_members_than_16_bits_count_is_whole() -> None:
    zipped = ZipStream()
    body = b"".join(chunk for number in range(70_000) for chunk in zipped.member(f"{number}", b""))
    body += b"".join(zipped.end())
    zipped.close()

    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert len(archive.namelist()) == 70_000


class Sparse(io.RawIOBase):
    """A file in which whatever lies before ``edge`` is zeros that nobody stores."""

    def __init__(self, start: bytes, hole: int, end: bytes) -> None:
        self._parts, self._place = (start, hole, end), 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        start, hole, end = self._parts
        self._place = offset + (0, self._place, len(start) + hole + len(end))[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        start, hole, end = self._parts
        wanted, behind = memoryview(buffer).nbytes, self._place - len(start)
        if behind < 0:
            body = start[self._place :][:wanted]
        else:
            body = bytes(min(wanted, hole - behind)) if behind < hole else end[behind - hole :][:wanted]
        memoryview(buffer)[: len(body)] = body
        self._place += len(body)
        return len(body)


def test_members_behind_4_gigabytes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_stream, "CHUNK_BYTES", 64 << 20)
    hole = 5 << 30

    class Zeros(io.BytesIO):
        """A big member; only its length matters, and its checksum is asked of nobody."""

        left = hole

        def seek(self, offset: int, whence: int = 0) -> int:
            self.left = hole
            return 0

        def read(self, size: int | None = -1) -> bytes:
            taken = min(self.left, size or 0)
            self.left -= taken
            return ZEROS[:taken]

    monkeypatch.setattr(zip_stream.zlib, "crc32", lambda *_: 0)
    zipped = ZipStream()
    pieces: Iterator[bytes] = zipped.member_file("big", Zeros())
    start = next(pieces)
    assert sum(map(len, pieces)) == hole
    end = b"".join(zipped.member("small", b"hello")) + b"".join(zipped.end())
    zipped.close()

    with zipfile.ZipFile(io.BufferedReader(Sparse(start, hole, end))) as archive:  # type: ignore[type-var]
        assert [(info.filename, info.file_size) for info in archive.infolist()] == [
            ("big", hole),
            ("small", 5),
        ]
        assert archive.getinfo("small").header_offset == len(start) + hole


ZEROS = bytes(64 << 20)
