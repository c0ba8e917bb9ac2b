"""A training service on fakes, for tests: its store, clock, launcher and loop, and a way to restart it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from periscope.documents import Documents
from periscope.wire.jobs import JobRequest
from periscope_training import job_document
from periscope_training.datasets import DatasetMissing, DatasetsUnavailable, Ingest
from periscope_training.reconcile import LoopSettings, Reconciler
from periscope_training.submit import Submissions
from tests.unit.periscope_training.fake_launcher import FakeLauncher, World
from tests.unit.periscope_training.fate import Fate, MortalStore

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

MANIFEST: dict[str, Any] = {
    "dataset_id": "01DATASET",
    "version": 3,
    "name": "pool",
    "options": {"classes": None, "pad": None, "resize": None, "val_min_box_size": 25},
    "classes": ["buoy", "gate"],
    "splits": {"train": {"images": 300, "boxes": 700}, "val": {"images": 60, "boxes": 130}},
    "image_sizes": [{"width": 320, "height": 192, "images": 360}],
}


class FakeDatasets:
    """Knows one dataset, or as many versions as a test puts in."""

    def __init__(self) -> None:
        self.manifests: list[dict[str, Any]] = [MANIFEST]
        self.asked: list[tuple[str, int | None]] = []
        self.labelled: dict[tuple[str, str], tuple[bytes, str]] = {}
        """Picture file and KITTI label by split and key."""
        self.ingests: dict[str, Ingest] = {}
        self.is_away = False

    def manifest(self, dataset: str, version: int | None) -> dict[str, Any]:
        self.asked.append((dataset, version))
        return self.manifests[-1]

    def ingest(self, dataset: str, ingest_id: str) -> Ingest:
        if self.is_away:
            raise DatasetsUnavailable("The dataset service does not answer.")
        try:
            return self.ingests[ingest_id]
        except KeyError:
            raise DatasetMissing(f"There is no ingest {ingest_id!r}.") from None

    def picture(self, dataset: str, version: int | None, split: str, key: str) -> bytes:
        return self._labelled(split, key)[0]

    def pictures(self, dataset: str, version: int | None, split: str) -> Iterator[str]:
        yield from sorted(key for at, key in self.labelled if at == split)

    def label(self, dataset: str, version: int | None, split: str, key: str) -> str:
        return self._labelled(split, key)[1]

    def _labelled(self, split: str, key: str) -> tuple[bytes, str]:
        try:
            return self.labelled[split, key]
        except KeyError:
            raise DatasetMissing(f"The split {split} has no picture {key!r}.") from None


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class House:
    def __init__(self, slots: int = 1) -> None:
        self.fate = Fate()
        self.store = MortalStore(self.fate)
        self.clock = Clock()
        self.world = World()
        self.datasets = FakeDatasets()
        self.slots = slots
        self.restart()

    def restart(self) -> None:
        """Everything that lived in the process is new; the store and the runs are as they were."""
        self.documents = Documents(self.store)
        self.launcher = FakeLauncher(self.world)
        self.submissions = Submissions(self.documents, self.store, self.datasets, 2, self.clock)
        settings = LoopSettings(
            max_concurrent_jobs=self.slots,
            retry_backoff_s=10,
            job_token_lifetime=timedelta(days=1),
            progress_url=lambda job_id, attempt: f"http://t/v1/jobs/{job_id}/attempts/{attempt}/progress",
            job_token=lambda job_id, attempt, until: f"{job_id}-{attempt}-{until:%d}",
        )
        self.reconciler = Reconciler(self.documents, self.store, self.launcher, settings, self.clock)

    def add_job(self, name: str = "dive") -> str:

        return self.submissions.submit_job(JobRequest(name=name, dataset="pool"), None).id

    def job(self, job_id: str) -> dict[str, Any]:
        return self.documents.get("jobs", job_id).body

    def state(self, job_id: str) -> str:
        return str(self.job(job_id)["state"])

    def cancel(self, job_id: str) -> None:
        self.documents.update("jobs", job_id, lambda body: job_document.ask_cancel(body, self.clock()))

    def complete_training(self, job_id: str) -> None:
        """The training program commits its last epoch."""
        self.documents.update("checkpoints", job_id, lambda body: {**body, "complete": True})

    def loop(self, passes: int = 3) -> None:
        for _ in range(passes):
            self.reconciler.reconcile_all()
