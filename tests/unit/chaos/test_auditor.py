"""The auditor itself: it is silent on a sound store, and names each planted violation."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from tests.chaos.auditor import Journal, audit, unnamed_blobs
from tests.fakes import MemoryStore


class System:
    """A store as a finished run leaves it, a robot with its model, and the journal."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.journal = Journal()
        self.robot = folder / "models"
        self.trainer: int | None = None
        self._dataset()
        self._job()
        self._model()

    def save(self, key: str, body: Any) -> None:
        self.store.put(key, json.dumps(body).encode())

    def change(self, key: str, change: Callable[[Any], None]) -> None:
        body = json.loads(self.store.get(key).body)
        change(body)
        self.save(key, body)

    def blob(self, content: bytes) -> dict[str, Any]:
        sha256 = hashlib.sha256(content).hexdigest()
        self.store.put(keys.blob(sha256), content)
        return {"sha256": sha256, "size_bytes": len(content)}

    def audit(self) -> list[str]:
        return audit(self.store, self.journal, [self.robot], self.trainer)

    def _dataset(self) -> None:
        split = {"shards": [self.blob(b"shard")], "index": self.blob(b"index")}
        self.save(keys.document("datasets", "D"), {"name": "dive"})
        self.save(keys.document("ingests", "I"), {"state": "SUCCEEDED"})
        for number in (1, 2):
            self.save(keys.version("datasets", "D", number), {"splits": {"train": split}})
        self.journal.documents.append(("datasets", "D"))
        self.journal.dataset_versions += [("D", 1), ("D", 2)]

    def _job(self) -> None:
        self.save(keys.document("jobs", "J"), {"state": "SUCCEEDED"})
        self.store.put("jobs/J/x.caffemodel", b"weights")
        files = {"x.caffemodel": {"key": "jobs/J/x.caffemodel", "size_bytes": 7}}
        epochs = [{"step": 4, "files": files}, {"step": 8, "files": files}]
        self.save(keys.checkpoint_document("J"), {"epochs": epochs})
        self.journal.documents.append(("jobs", "J"))

    def _model(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("labels.txt", "buoy\n")
        blob = self.blob(buffer.getvalue())
        self.save(keys.name_claim("models", "buoys"), {"id": "M"})
        self.save(keys.version("models", "M", 1), {"zip": blob})
        self.save(keys.document("publications", "P"), {"state": "SUCCEEDED"})
        self.journal.model_versions.append(("buoys", 1, blob["sha256"]))
        self.save(keys.name_claim("aliases", "M/latest"), {"id": "A"})
        self.save(keys.document("aliases", "A"), {"version": 1, "history": [{"version": 1}]})
        self.journal.alias_moves.append(("buoys", "latest", 1))
        self.save(keys.name_claim("devices", "robot"), {"id": "R"})
        self.save(keys.document("devices", "R"), {})
        self.journal.devices.append("robot")
        release = self.robot / "releases" / f"1-{blob['sha256'][:12]}"
        release.mkdir(parents=True)
        (release / "labels.txt").write_text("buoy\n")
        (self.robot / "current").symlink_to(release)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_sound_system_breaks_no_promise(system: System) -> None:
    assert system.audit() == []


def test_a_robot_without_a_model_breaks_none(system: System) -> None:
    (system.robot / "current").unlink()

    assert system.audit() == []


def test_a_version_that_was_removed_on_purpose_is_no_gap(system: System) -> None:
    system.journal.dataset_versions.remove(("D", 1))
    system.store.delete(keys.version("datasets", "D", 1))
    system.save(keys.removed_version("datasets", "D", 1), {"version": 1})

    assert system.audit() == []


def test_a_blob_that_no_version_names_is_counted(system: System) -> None:
    assert unnamed_blobs(system.store) == 0

    system.blob(b"broken off")

    assert unnamed_blobs(system.store) == 1


def _lose_shard(system: System) -> None:
    system.store.delete(keys.blob(hashlib.sha256(b"shard").hexdigest()))


def _change_shard(system: System) -> None:
    system.store.put(keys.blob(hashlib.sha256(b"shard").hexdigest()), b"other")


def _label(system: System) -> Path:
    return next((system.robot / "releases").glob("*/labels.txt"))


def _put_file_for_link(system: System) -> None:
    (system.robot / "current").unlink()
    (system.robot / "current").write_text("")


VIOLATIONS: dict[str, tuple[Callable[[System], object], str]] = {
    "lost job": (lambda s: s.store.delete(keys.document("jobs", "J")), "jobs/J was acknowledged and is gone"),
    "lost data set version": (
        lambda s: s.store.delete(keys.version("datasets", "D", 2)),
        "version 2 of data set D was acknowledged and is gone",
    ),
    "lost model version": (
        lambda s: s.store.delete(keys.version("models", "M", 1)),
        "version 1 of model buoys was acknowledged and is gone",
    ),
    "lost name": (
        lambda s: s.store.delete(keys.name_claim("models", "buoys")),
        "version 1 of model buoys was acknowledged and is gone",
    ),
    "another zip": (
        lambda s: s.change(keys.version("models", "M", 1), lambda body: body.update(zip=s.blob(b"other"))),
        "another zip than was acknowledged",
    ),
    "missing blob": (_lose_shard, "which is not there"),
    "changed blob": (_change_shard, "whose content is another"),
    "gap": (lambda s: s.save(keys.version("datasets", "D", 4), {"splits": {}}), "[1, 2, 4], with a gap"),
    "job that hangs": (
        lambda s: s.save(keys.document("jobs", "K"), {"state": "RUNNING"}),
        "documents/jobs/K never ended: it is RUNNING",
    ),
    "publication that hangs": (
        lambda s: s.save(keys.document("publications", "Q"), {"state": "QUEUED"}),
        "publications/Q never ended",
    ),
    "epoch twice": (
        lambda s: s.change(
            keys.checkpoint_document("J"), lambda body: body["epochs"].append(body["epochs"][0])
        ),
        "twice or out of order: steps [4, 8, 4]",
    ),
    "lost snapshot": (
        lambda s: s.store.delete("jobs/J/x.caffemodel"),
        "x.caffemodel of step 4, which is not",
    ),
    "cut snapshot": (
        lambda s: s.store.put("jobs/J/x.caffemodel", b"wei"),
        "x.caffemodel of step 4, of which 3 bytes are there",
    ),
    "epoch without files": (
        lambda s: s.change(keys.checkpoint_document("J"), lambda body: body["epochs"][1].update(files={})),
        "lists step 8 without a file",
    ),
    "version without splits": (
        lambda s: s.save(keys.version("datasets", "D", 3), {"splits": {}}),
        "versions/datasets/D/00000003 has no splits",
    ),
    "torn document": (
        lambda s: s.store.put(keys.document("jobs", "J"), b'{"state": "SUCC'),
        "documents/jobs/J is no JSON",
    ),
    "lost alias": (
        lambda s: s.store.delete(keys.document("aliases", "A")),
        "latest of model buoys moved to version 1 was acknowledged and is forgotten",
    ),
    "forgotten move": (
        lambda s: s.change(keys.document("aliases", "A"), lambda body: body.update(history=[])),
        "latest of model buoys moved to version 1 was acknowledged and is forgotten",
    ),
    "lost device": (
        lambda s: s.store.delete(keys.document("devices", "R")),
        "the device robot was let in and is gone",
    ),
    "trainer that lives on": (
        lambda s: setattr(s, "trainer", 4711),
        "the trainer 4711 lives on",
    ),
    "file in the link's place": (_put_file_for_link, "current is no link"),
    "files of no job": (
        lambda s: s.store.put("jobs/K/spec.json", b"{}"),
        "jobs/K/ holds files, and there is no such job",
    ),
    "notes of an ended ingest": (
        lambda s: s.store.put(keys.ingest_record("I", "shard-0"), b"x"),
        "ingests/I/ holds notes, and that ingest is over",
    ),
    "torn file on the robot": (lambda s: _label(s).write_text("bu"), "damaged or missing labels.txt"),
    "missing file on the robot": (lambda s: _label(s).unlink(), "damaged or missing labels.txt"),
    "unknown model on the robot": (
        lambda s: _label(s).parent.rename(_label(s).parent.with_name("7-ffffffffffff")),
        "is no registered version",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_planted_violation_is_named(name: str, system: System) -> None:
    plant, told = VIOLATIONS[name]

    plant(system)

    assert any(told in violation for violation in system.audit()), system.audit()
