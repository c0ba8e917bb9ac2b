"""A training job on the store in memory: what it commits, how it ends, and what others may see meanwhile."""

from __future__ import annotations

import io
import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectnet_trainer import job_commit
from detectnet_trainer.engine import Trainer
from detectnet_trainer.job import report_failures, train
from periscope import keys
from periscope.documents import Documents
from periscope.ids import new_id
from periscope.store import StoredObject, StoreUnavailable
from tests.fakes import MemoryStore
from tests.unit.detectnet_trainer.small_data import SIDE, options, pictures, store_job

pytestmark = pytest.mark.slow

Document = dict[str, Any]


class Killed(BaseException):
    """The process ends here; no handler of the program may see it."""


def nothing(_key: str) -> None:
    pass


class Watched(MemoryStore):
    """Calls back before each write, and may lose answers."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: Callable[[str], None] = nothing

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        self.before_write(key)
        return super().put(key, body, content_type=content_type)

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        self.before_write(key)
        return super().put_if_match(key, body, etag, content_type=content_type)


@pytest.fixture
def store() -> Watched:
    return Watched()


@dataclass
class Finished:
    """A job of two epochs that has run to its end."""

    store: Watched
    job_id: str
    work: Path


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    store = Watched()
    work = tmp_path_factory.mktemp("work")
    job_id = store_job(store, options())
    assert run(store, job_id, work) == 0
    return Finished(store, job_id, work)


@pytest.fixture
def finished(finished_once: Finished) -> Finished:
    """With a store of the test's own."""
    own = Watched()
    for key in finished_once.store.keys(""):
        own.put(key, finished_once.store.get(key).body)
    own.calls.clear()
    return Finished(own, finished_once.job_id, finished_once.work)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(store: MemoryStore, job_id: str, work: Path, attempt: int = 1) -> int:
    environ = {"PERISCOPE_WORK_DIR": str(work)}
    return report_failures(lambda: train(store, job_id, attempt, environ))


def committed(store: MemoryStore, job_id: str) -> Document:
    return Documents(store).get("checkpoints", job_id).body


def caffemodel(store: MemoryStore, job_id: str) -> bytes:
    """The last epoch's caffemodel."""
    files: Mapping[str, Mapping[str, Any]] = committed(store, job_id)["epochs"][-1]["files"]
    (name,) = [name for name in files if name.endswith(".caffemodel")]
    return store.get(files[name]["key"]).body


def failure(capsys: pytest.CaptureFixture[str]) -> Document:
    """The last line on standard error."""
    report: Document = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert set(report) == {"error", "code", "advice"}
    return report


def test_a_job_commits_every_epoch_and_completes(finished: Finished) -> None:
    body = committed(finished.store, finished.job_id)

    assert body["complete"]
    assert body["attempt"] == 1
    assert [(epoch["epoch"], epoch["step"], epoch["attempt"]) for epoch in body["epochs"]] == [
        (1.0, 3, 1),
        (2.0, 6, 1),
    ]
    assert set(body["epochs"][1]["files"]) == {
        "snapshot_iter_6.caffemodel", "deploy.prototxt", "grid.onnx", "parity.npz",
    }  # fmt: skip


def test_every_committed_file_is_there_as_described(finished: Finished) -> None:
    for epoch in committed(finished.store, finished.job_id)["epochs"]:
        for file in epoch["files"].values():
            body = finished.store.get(file["key"]).body
            assert (len(body), job_commit._sha256(body)) == (file["size_bytes"], file["sha256"])


def test_the_metrics_have_the_agreed_form(finished: Finished) -> None:
    metrics = committed(finished.store, finished.job_id)["epochs"][0]["metrics"]

    assert set(metrics) == {
        "learning_rate", "images_per_second", "train", "val", "all_zero_coverage_loss", "doctor",
    }  # fmt: skip
    assert set(metrics["train"]) == {"loss_bbox", "loss_coverage"}
    figures = {"digits_map", "pooled_map", "coco_ap", "coco_ap50"}
    assert set(metrics["val"]) == {"decoder", "loss_bbox", "loss_coverage", "classes"} | figures
    assert set(metrics["val"]["classes"]) == {"ball", "box"}
    assert metrics["all_zero_coverage_loss"] > 0


def test_the_parity_file_holds_pictures_at_the_networks_size(finished: Finished) -> None:
    file = committed(finished.store, finished.job_id)["epochs"][0]["files"]["parity.npz"]
    with np.load(io.BytesIO(finished.store.get(file["key"]).body)) as parity:
        shapes = {name: parity[name].shape for name in parity}

    assert shapes == {
        "images": (3, SIDE, SIDE, 3),
        "coverage": (3, 2, SIDE // 16, SIDE // 16),
        "bboxes": (3, 4, SIDE // 16, SIDE // 16),
    }


def test_only_the_newest_two_checkpoints_are_kept(store: Watched, tmp_path: Path) -> None:
    job_id = store_job(store, options(epochs=3))
    run(store, job_id, tmp_path)
    kept = [key for key in store.keys(keys.job_prefix(job_id)) if key.endswith("checkpoint.pt")]

    claim = committed(store, job_id)["claim"]
    assert kept == [keys.attempt_epoch_file(job_id, 1, step, "checkpoint.pt", claim) for step in (6, 9)]
    assert committed(store, job_id)["latest"]["file"]["key"] == kept[-1]


def test_sigterm_saves_the_position_and_the_next_attempt_ends_in_the_same_bytes(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = options(epochs=2, augmentation={})
    whole, stopped = store_job(store, training), store_job(store, training)
    run(store, whole, tmp_path)
    terminate_at_step(monkeypatch, 4)

    assert run(store, stopped, tmp_path) == 143
    body = committed(store, stopped)
    assert (body["latest"]["step"], len(body["epochs"]), body["complete"]) == (4, 1, False)
    monkeypatch.undo()
    assert run(store, stopped, tmp_path, attempt=2) == 0
    assert caffemodel(store, stopped) == caffemodel(store, whole)
    assert [epoch["attempt"] for epoch in committed(store, stopped)["epochs"]] == [1, 2]


def test_sigterm_on_an_epochs_boundary_commits_the_epoch(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store_job(store, options(epochs=2))
    terminate_at_step(monkeypatch, 3)

    assert run(store, job_id, tmp_path) == 143
    assert [epoch["step"] for epoch in committed(store, job_id)["epochs"]] == [3]


def test_sigterm_at_the_last_step_completes_the_job(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store_job(store, options(epochs=1))
    terminate_at_step(monkeypatch, 3)

    assert run(store, job_id, tmp_path) == 0
    assert committed(store, job_id)["complete"]


def terminate_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have the process get SIGTERM while it takes a step."""
    honest = Trainer.learning_rate

    def learning_rate(self: Trainer) -> float:
        if self.step == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return honest(self)

    monkeypatch.setattr(Trainer, "learning_rate", learning_rate)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_job_killed_at_a_random_write_ends_in_the_same_bytes_and_shows_nothing_half_made(
    store: Watched, tmp_path: Path, seed: int
) -> None:
    training = options(epochs=3, augmentation={})
    whole, killed = store_job(store, training), store_job(store, training)
    run(store, whole, tmp_path)
    writes = 0

    def count(_key: str) -> None:
        nonlocal writes
        writes += 1
        if writes == fatal:
            raise Killed

    fatal = random.Random(seed).randint(2, 18)
    store.before_write = count
    with pytest.raises(Killed):
        run(store, killed, tmp_path)
    store.before_write = nothing

    assert_whole(store, killed)
    assert run(store, killed, tmp_path, attempt=2) == 0
    assert_whole(store, killed)
    assert caffemodel(store, killed) == caffemodel(store, whole)
    assert [epoch["step"] for epoch in committed(store, killed)["epochs"]] == [3, 6, 9]


def assert_whole(store: MemoryStore, job_id: str) -> None:
    """Whatever the checkpoint document names is stored."""
    body = committed(store, job_id)
    named = [file for epoch in body["epochs"] for file in epoch["files"].values()]
    named += [body["latest"]["file"]] if body["latest"] else []
    for file in named:
        assert job_commit._sha256(store.get(file["key"]).body) == file["sha256"]


def test_an_older_attempt_does_not_start(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = store_job(store, options())
    Documents(store).update("checkpoints", job_id, lambda body: body | {"attempt": 5})
    before = store.keys()

    assert run(store, job_id, tmp_path, attempt=4) == 73
    assert failure(capsys)["code"] == "superseded"
    assert store.keys() == before


def test_an_attempt_that_is_overtaken_ends_and_writes_nothing_that_counts(
    store: Watched, tmp_path: Path
) -> None:
    job_id = store_job(store, options(epochs=2))

    def overtake(key: str) -> None:
        if "steps/0000000006" in key and key.endswith("checkpoint.pt"):
            store.before_write = nothing
            Documents(store).update("checkpoints", job_id, lambda body: body | {"attempt": 2})

    store.before_write = overtake

    assert run(store, job_id, tmp_path) == 73
    body = committed(store, job_id)
    assert (body["attempt"], body["latest"]["step"]) == (2, 3)
    assert [epoch["step"] for epoch in body["epochs"]] == [3]
    assert run(store, job_id, tmp_path, attempt=2) == 0


def test_a_complete_job_is_complete_at_once(finished: Finished) -> None:
    first = committed(finished.store, finished.job_id)["epochs"]

    assert run(finished.store, finished.job_id, finished.work, attempt=2) == 0
    assert committed(finished.store, finished.job_id)["epochs"] == first


def test_a_second_attempt_uses_the_cached_pictures(finished: Finished) -> None:
    run(finished.store, finished.job_id, finished.work, attempt=2)

    # The checkpoint is the only large object that is read.
    assert finished.store.calls["iterate"] == 1
    assert not list(finished.work.glob("jobs/*/attempt-*"))


def test_the_store_may_be_away_for_a_while(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_commit, "FIRST_BACKOFF_S", 0.001)
    job_id = store_job(store, options(epochs=1))
    chance = random.Random(0)

    def fail_often(_key: str) -> None:
        if chance.random() < 0.6:
            raise StoreUnavailable("no answer")

    store.before_write = fail_often

    assert run(store, job_id, tmp_path) == 0
    assert committed(store, job_id)["complete"]


def test_a_store_that_stays_away_ends_the_attempt_for_another_try(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job_commit.Commits.__init__, "__defaults__", (0.01,))
    job_id = store_job(store, options(epochs=1))

    def fail(_key: str) -> None:
        raise StoreUnavailable("no answer")

    store.before_write = fail

    assert run(store, job_id, tmp_path) == 75
    assert failure(capsys)["code"] == "store_unavailable"


def test_a_damaged_blob_is_not_trained_on(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job_commit.patiently, "__defaults__", (0.0,))
    job_id = store_job(store, options(epochs=1))
    largest = max(store.keys("blobs/"), key=lambda key: len(store.get(key).body))
    store.put(largest, store.get(largest).body[:-1] + b"x")

    assert run(store, job_id, tmp_path) == 75
    assert "damaged" in failure(capsys)["error"]


@pytest.mark.parametrize(
    ("label", "complaint"),
    [
        ("ball 0 0 0 1 2 three 4 0 0 0 0 0 0 0\n", "line 1: right is 'three'"),
        ("fish 0 0 0 1 2 3 4 0 0 0 0 0 0 0\n", "fish"),
    ],
)
def test_bad_data_ends_the_job_with_the_files_name(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str, complaint: str
) -> None:
    sources = pictures(3)
    sources[1] = type(sources[1])(sources[1].name, sources[1].image, label)
    job_id = store_job(store, options(), train=sources)

    assert run(store, job_id, tmp_path) == 65
    report = failure(capsys)
    assert report["code"] == "bad_data"
    assert "0001" in report["error"]
    assert complaint in report["error"]


def test_a_dataset_without_validation_pictures_is_refused(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = store_job(store, options(), val=[])

    assert run(store, job_id, tmp_path) == 65
    assert "no val pictures" in failure(capsys)["error"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"solver": "lion"}, 78),
        ({"lr_policy": {"name": "wobble"}}, 78),
        ({"initialisation": "magic"}, 78),
        ({"learning_rate": 1e18}, 65),
    ],
    ids=["solver", "policy", "initialisation", "diverges"],
)
def test_options_that_cannot_work_end_the_job_for_good(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Document, status: int
) -> None:
    job_id = store_job(store, options() | given)

    assert run(store, job_id, tmp_path) == status
    assert failure(capsys)["advice"]


@pytest.mark.parametrize("missing", ["spec", "manifest", "checkpoint document"])
def test_what_is_gone_is_said(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    job_id = store_job(store, options())
    gone = {
        "spec": keys.job_spec(job_id),
        "manifest": store.keys("versions/datasets/")[0],
        "checkpoint document": keys.checkpoint_document(job_id),
    }[missing]
    store.delete(gone)

    assert run(store, job_id, tmp_path) == 66
    assert failure(capsys)["code"] == "missing"


@pytest.mark.parametrize(("job_id", "attempt"), [("../x", 1), ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0)])
def test_a_job_that_cannot_exist_is_refused(
    store: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str], job_id: str, attempt: int
) -> None:
    assert run(store, job_id, tmp_path, attempt) == 64
    assert failure(capsys)["code"] == "bad_arguments"


def test_an_unforeseen_failure_is_left_to_another_try(
    store: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(key: str) -> StoredObject:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(store, "get", broken)

    assert run(store, new_id(), tmp_path) == 70
    assert failure(capsys)["code"] == "internal"
