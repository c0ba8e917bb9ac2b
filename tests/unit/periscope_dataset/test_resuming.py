"""An ingest that is taken up again does nothing twice, wherever it was left, and ends the same byte for byte."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.documents import Documents
from periscope_dataset import ingest, shards, storing, worker
from periscope_dataset.journal import Journal
from periscope_dataset.rules import INGESTS
from periscope_dataset.settings import Settings
from tests.dataset_corpus import healthy
from tests.exports import coco_2017, yolo_v8
from tests.fakes import MemoryStore
from tests.kitti_archives import Files, as_zip, sound_files
from tests.unit.periscope_dataset.conftest import House, open_house

pytestmark = pytest.mark.slow


class Died(Exception):
    """Stands for the end of the process."""


class Mortal:
    """Dies at the n-th call of one function; counts all calls."""

    def __init__(self, patch: pytest.MonkeyPatch, module: Any, name: str, at: int | None) -> None:
        self.calls = 0
        self._at = at
        self._lock = threading.Lock()
        real = getattr(module, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.calls += 1
                dies = self.calls == self._at
            if dies:
                raise Died
            return real(*args, **kwargs)

        patch.setattr(module, name, called)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many shards and many records of a small data set."""
    monkeypatch.setattr(Settings, "shard_bytes", 20_000)
    monkeypatch.setattr(ingest, "CHUNK_MEMBERS", 2)
    monkeypatch.setattr(ingest, "NOTE_MEMBERS", 8)


def splits_of(house: House, dataset_id: str) -> dict[str, Any]:
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    found: dict[str, Any] = {name: manifest[name] for name in ("splits", "classes", "statistics", "findings")}
    return found


FILES = {"KITTI": healthy, "YOLO": yolo_v8, "COCO": coco_2017}
OPTIONS: dict[str, Any] = {
    "KITTI": {}, "YOLO": {}, "COCO": {"classes": {"names": ["thing"], "merge": {"buoy": "thing", "gate": "thing"}}},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize(
    ("module", "call", "at"),
    [
        (ingest, "check_image", 20), (ingest, "judged", 1), (storing, "write_shard", 5), (storing, "put_blob", 1),
        (worker, "to_rfc3339", 10**9),
    ],
)  # fmt: skip
def test_it_ends_as_one_that_was_left_alone(
    form: str, module: Any, call: str, at: int, tmp_path: Path
) -> None:
    archive, whole = as_zip(FILES[form]()), open_house(MemoryStore(), tmp_path / "whole")
    undisturbed = whole.dataset()
    whole.ingest(undisturbed, archive, **OPTIONS[form])
    house = open_house(MemoryStore(), tmp_path / "broken")
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, archive), **OPTIONS[form])
    with pytest.MonkeyPatch.context() as patch:
        Mortal(patch, module, call, at)
        try:
            house.worker.step()
        except Died:
            # Another replica goes on, on another disk.
            house = open_house(house.store, tmp_path / "other")
            house.worker.step()

    assert splits_of(house, dataset_id) == splits_of(whole, undisturbed)
    assert house.store.keys("blobs/") == whole.store.keys("blobs/")
    assert house.store.keys(keys.ingest_prefix(ingest_id)) == []


def broken_off(house: House, files: Files, module: Any, call: str, at: int) -> str:
    dataset_id = house.dataset()
    house.finalize(dataset_id, house.upload(dataset_id, as_zip(files)))
    with pytest.MonkeyPatch.context() as patch:
        Mortal(patch, module, call, at)
        with pytest.raises(Died):
            house.worker.step()
    return dataset_id


def test_finished_shards_are_neither_written_nor_sent_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "AT_ONCE", 1)
    dataset_id = broken_off(house, healthy(), storing, "write_shard", 3)
    assert len(house.store.keys("ingests/")) > 4
    written = Mortal(monkeypatch, storing, "write_shard", None)
    sent = house.store.calls["put_file"]

    house.worker.step()

    count = sum(len(split["shards"]) for split in splits_of(house, dataset_id)["splits"].values())
    assert count > 6
    assert written.calls == count - 2
    # The shards, and an index for each split.
    assert house.store.calls["put_file"] - sent == count - 2 + 2


def test_pictures_that_were_decoded_are_not_decoded_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(house, healthy(), ingest, "judged", 1)
    decoded = Mortal(monkeypatch, ingest, "check_image", None)

    house.worker.step()

    assert decoded.calls == 0


def test_labels_too_long_to_be_noted_are_read_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MAX_NOTED_BYTES", 100)
    dataset_id = house.dataset()
    house.finalize(dataset_id, house.upload(dataset_id, as_zip(yolo_v8())))
    with pytest.MonkeyPatch.context() as patch:
        Mortal(patch, ingest, "judged", 1)
        with pytest.raises(Died):
            house.worker.step()

    house.worker.step()

    assert splits_of(house, dataset_id)["splits"]["train"]["boxes"] == 24


def test_notes_of_other_options_or_another_source_are_passed_over(memory_store: MemoryStore) -> None:
    Journal(memory_store, "one", "source", {"pad": None}).note("checked/0", {"verdicts": []})

    assert Journal(memory_store, "one", "source", {"pad": None}).load("checked/0") == {"verdicts": []}
    assert Journal(memory_store, "one", "source", {"pad": 1}).load("checked/0") is None
    assert Journal(memory_store, "one", "another", {"pad": None}).load("checked/0") is None
    memory_store.put(keys.ingest_record("one", "checked/0"), b"cut off")
    assert Journal(memory_store, "one", "source", {"pad": None}).load("checked/0") is None


def test_who_gets_on_a_little_each_time_is_not_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "AT_ONCE", 1)
    dataset_id = house.dataset()
    house.finalize(dataset_id, house.upload(dataset_id, as_zip(healthy())))
    for _ in range(worker.MAX_ATTEMPTS + 2):
        with pytest.MonkeyPatch.context() as patch:
            Mortal(patch, shards.tarfile, "open", 2)
            with pytest.raises(Died):
                house.worker.step()

    house.worker.step()

    assert splits_of(house, dataset_id)["splits"]["train"]["images"] == 12


def test_several_are_ingested_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    both, make_version = threading.Barrier(2, timeout=20), worker.make_version

    def together(*args: Any) -> Any:
        both.wait()
        return make_version(*args)

    monkeypatch.setattr(worker, "make_version", together)
    ids = []
    for name in ("one", "two"):
        dataset_id = house.dataset(name)
        ids.append((dataset_id, house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))))
    threads = [threading.Thread(target=house.worker.step) for _ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for dataset_id, ingest_id in ids:
        assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)["version"] == 1


def test_two_threads_of_one_process_are_never_at_one_ingest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = house.dataset()
    house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))
    make_version, rests = worker.make_version, []

    def meanwhile(*args: Any) -> Any:
        other = threading.Thread(target=lambda: rests.append(house.worker.step()))
        other.start()
        other.join()
        return make_version(*args)

    monkeypatch.setattr(worker, "make_version", meanwhile)
    house.worker.step()

    assert rests == [10]
    assert len(house.store.keys(keys.versions_prefix("datasets", dataset_id))) == 1


def test_an_ended_ingest_leaves_no_lease_behind(house: House) -> None:
    house.ingest(house.dataset(), as_zip(sound_files()))

    assert house.store.keys("documents/leases/") == []


@pytest.mark.parametrize("call", ["check_image", "judged"])
def test_a_cancelled_ingest_makes_no_version_and_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, as_zip(healthy())))
    url, real = f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", getattr(ingest, call)
    monkeypatch.setattr("periscope_dataset.reporting.REPORT_EVERY_S", 0.0)

    def cancelled_meanwhile(*args: Any) -> Any:
        house.call("POST", f"{url}:cancel", 200)
        return real(*args)

    monkeypatch.setattr(ingest, call, cancelled_meanwhile)
    house.worker.step()

    assert house.call("GET", url, 200)["state"] == "CANCELLED"
    for left in ("versions/", "uploads/", "ingests/", "documents/uploads/", "documents/leases/"):
        assert house.store.keys(left) == [], left


def test_an_ended_ingest_cannot_be_cancelled_and_a_cancelled_one_stays_so(house: House) -> None:
    dataset_id = house.dataset()
    done = house.ingest(dataset_id, as_zip(sound_files()))["id"]
    waiting = house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))

    house.call("POST", f"/v1/datasets/{dataset_id}/ingests/{done}:cancel", 409)
    for _ in range(2):
        assert (
            house.call("POST", f"/v1/datasets/{dataset_id}/ingests/{waiting}:cancel", 200)["state"]
            == "CANCELLED"
        )
    house.worker.step()

    listed = house.call("GET", f"/v1/datasets/{dataset_id}/ingests", 200)["items"]
    assert [item["state"] for item in listed] == ["SUCCEEDED", "CANCELLED"]
    assert house.store.keys("uploads/") == [], "the sweep takes what was sent"


def test_once_a_version_is_being_published_it_is_too_late_to_cancel(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))
    publish = house.worker._versions.publish

    def too_late(*args: Any) -> Any:
        house.call("POST", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}:cancel", 409)
        return publish(*args)

    monkeypatch.setattr(house.worker._versions, "publish", too_late)
    house.worker.step()

    assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)["version"] == 1


def test_what_a_dead_worker_left_is_swept(house: House, tmp_path: Path) -> None:
    dataset_id = house.dataset()
    ended = house.ingest(dataset_id, as_zip(sound_files()))["id"]
    (tmp_path / f"ingest-{ended}").mkdir()
    Journal(house.store, ended, "x").note("shards/train-00000", {})
    Documents(house.store).create("leases", {"holder": "x"}, ended)

    house.worker.step()

    assert not (tmp_path / f"ingest-{ended}").exists()
    assert house.store.keys("ingests/") == []
    assert house.store.keys("documents/leases/") == []
    assert [item.id for item in Documents(house.store).list(INGESTS)] == [ended]
