"""Copies of a bucket: whole or not there, in an order that leaves nothing named and missing, never over anything."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.store import StoreUnavailable
from periscope_upkeep.backup import Backup, BackupUnusable, BucketTaken
from tests.fakes import MemoryStore

BLOB = b"pixels" * 100
BLOB_KEY = keys.blob(hashlib.sha256(BLOB).hexdigest())
MANIFEST = keys.version("models", "0" * 26, 1)
JOB = keys.document("jobs", "0" * 26)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put(BLOB_KEY, BLOB)
    store.put(MANIFEST, b'{"zip": 1}')
    store.put(JOB, b'{"state": "RUNNING"}')
    store.put(keys.job_spec("0" * 26), b"{}")
    store.put(keys.probe("ready"), b"ready")
    store.put(keys.CONDEMNED_BLOBS, b"{}")
    store.put(keys.document("leases", "training"), b"{}")
    return store


def bodies(store: MemoryStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key).body for info in store.list("")}


class Watched(MemoryStore):
    """Notes what is read and written, and may be away from some key on."""

    def __init__(self, away_at: str = "") -> None:
        super().__init__()
        self.read: list[str] = []
        self.written: list[str] = []
        self.away_at = away_at

    def iterate(self, key: str, chunk_bytes: int = 1 << 20):  # type: ignore[no-untyped-def]
        if key == self.away_at:
            raise StoreUnavailable(key)
        self.read.append(key)
        return super().iterate(key, chunk_bytes)

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        if key == self.away_at:
            raise StoreUnavailable(key)
        self.written.append(key)
        super().put_file(key, path, content_type=content_type)


def watched(store: MemoryStore, away_at: str = "") -> Watched:
    copy = Watched(away_at)
    for key, body in bodies(store).items():
        copy.put(key, body)
    return copy


def test_what_was_copied_comes_back_and_what_passes_does_not(store: MemoryStore, tmp_path: Path) -> None:
    Backup(tmp_path).save(store)
    fresh = MemoryStore()
    Backup(tmp_path).restore(fresh)

    assert bodies(fresh) == {key: body for key, body in bodies(store).items() if not keys.is_passing(key)}
    assert len(fresh.keys()) == 4


def test_manifests_are_copied_before_their_blobs_and_brought_back_after_them(
    store: MemoryStore, tmp_path: Path
) -> None:
    source, fresh = watched(store), Watched()
    Backup(tmp_path).save(source)
    Backup(tmp_path).restore(fresh)

    assert source.read.index(MANIFEST) < source.read.index(BLOB_KEY)
    assert fresh.written.index(BLOB_KEY) < fresh.written.index(MANIFEST)


def test_only_what_has_changed_is_read_again(store: MemoryStore, tmp_path: Path) -> None:
    source = watched(store)
    Backup(tmp_path).save(source)
    source.read.clear()
    source.put(JOB, b'{"state": "SUCCEEDED"}')

    done = Backup(tmp_path).save(source)

    assert source.read == [JOB]
    assert (done.objects, done.moved_bytes) == (4, len(b'{"state": "SUCCEEDED"}'))
    fresh = MemoryStore()
    Backup(tmp_path).restore(fresh)
    assert fresh.get(JOB).body == b'{"state": "SUCCEEDED"}'


def test_a_copy_that_breaks_off_leaves_the_one_before(store: MemoryStore, tmp_path: Path) -> None:
    Backup(tmp_path).save(store)
    before = Backup(tmp_path).load()
    changed = watched(store, away_at=keys.job_spec("0" * 26))
    changed.put(JOB, b"{}")
    changed.put(changed.away_at, b"other")

    with pytest.raises(StoreUnavailable):
        Backup(tmp_path).save(changed)

    assert Backup(tmp_path).load() == before
    Backup(tmp_path).verify()


def test_a_restoration_that_breaks_off_goes_on_where_it_stopped(store: MemoryStore, tmp_path: Path) -> None:
    Backup(tmp_path).save(store)
    fresh = Watched(away_at=MANIFEST)
    with pytest.raises(StoreUnavailable):
        Backup(tmp_path).restore(fresh)
    assert MANIFEST not in list(fresh.keys())
    fresh.away_at = ""
    fresh.written.clear()

    Backup(tmp_path).restore(fresh)

    assert MANIFEST in fresh.written
    assert BLOB_KEY not in fresh.written
    assert len(fresh.keys()) == 4


@pytest.mark.parametrize(
    ("key", "body"), [(JOB, b'{"state": "PAUSED!"}'), (keys.document("jobs", "1" * 26), b"")]
)
def test_a_bucket_in_use_is_left_alone(store: MemoryStore, tmp_path: Path, key: str, body: bytes) -> None:
    Backup(tmp_path).save(store)
    used = MemoryStore()
    used.put(key, body)

    with pytest.raises(BucketTaken, match=key):
        Backup(tmp_path).restore(used)

    assert bodies(used) == {key: body}


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_damaged_copy_is_told_and_its_object_not_brought_back(
    store: MemoryStore, tmp_path: Path, harm: str
) -> None:
    Backup(tmp_path).save(store)
    path = tmp_path / "objects" / BLOB_KEY[-64:-62] / BLOB_KEY[-64:]
    path.write_bytes(b"rot") if harm == "changed" else path.unlink()
    fresh = MemoryStore()

    with pytest.raises(BackupUnusable, match=BLOB_KEY):
        Backup(tmp_path).verify()
    with pytest.raises(BackupUnusable, match=BLOB_KEY):
        Backup(tmp_path).restore(fresh)
    assert BLOB_KEY not in list(fresh.keys())
    assert MANIFEST not in list(fresh.keys())


def test_a_body_that_was_lost_from_the_folder_is_copied_again(store: MemoryStore, tmp_path: Path) -> None:
    Backup(tmp_path).save(store)
    (tmp_path / "objects" / BLOB_KEY[-64:-62] / BLOB_KEY[-64:]).unlink()

    Backup(tmp_path).save(store)

    Backup(tmp_path).verify()


def test_a_blob_that_is_not_what_its_key_says_makes_no_snapshot(store: MemoryStore, tmp_path: Path) -> None:
    store.put(BLOB_KEY, b"rot")

    with pytest.raises(BackupUnusable, match="damaged in the bucket"):
        Backup(tmp_path).save(store)
    with pytest.raises(BackupUnusable, match="holds no snapshot"):
        Backup(tmp_path).load()


def test_two_runs_in_one_folder_do_not_mix(store: MemoryStore, tmp_path: Path) -> None:
    class Entered(MemoryStore):
        """In the middle of whose copy another begins."""

        def list(self, prefix: str) -> Any:
            with pytest.raises(BackupUnusable, match="another run is at work"):
                Backup(tmp_path).save(store)
            return super().list(prefix)

    Backup(tmp_path).save(Entered())
    Backup(tmp_path).save(store)

    assert len(Backup(tmp_path).load()) == 4


@pytest.mark.parametrize("moment", range(8))
def test_what_is_published_while_the_copy_is_made_is_in_it_whole_or_not_at_all(
    store: MemoryStore, tmp_path: Path, moment: int
) -> None:
    blob, manifest = b"new pixels", keys.version("models", "0" * 26, 2)
    blob_key = keys.blob(hashlib.sha256(blob).hexdigest())

    class Busy(MemoryStore):
        """Publishes a version at some call: the blob first, as everybody does."""

        def _count(self, call: str) -> None:
            super()._count(call)
            if sum(self.calls.values()) == moment + 1:
                self.put(blob_key, blob)
                self.put(manifest, b"{}")

    busy = Busy()
    for info in store.list(""):
        busy._write(info.key, store.get(info.key).body)
    Backup(tmp_path).save(busy)

    snapshot = Backup(tmp_path).load()
    assert manifest not in snapshot or blob_key in snapshot
    assert MANIFEST in snapshot
