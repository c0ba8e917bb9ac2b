"""A reconcile pass and a list of jobs, on a real store: how they grow with the jobs that there have been."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from periscope.documents import Documents
from periscope.ids import new_id
from periscope.s3 import S3Store
from periscope_training import job_document
from periscope_training.listing import queue_positions
from periscope_training.reconcile import LoopSettings, Reconciler
from tests.bench.measure import Row, in_turns
from tests.bench.stores import CountingStore, real_buckets
from tests.unit.periscope_training.fake_launcher import FakeLauncher, World
from tests.unit.periscope_training.house import START

JOBS = (1000, 100, 10_000)
"""The first is what the others are compared with."""
RUNNING = 50
SPEC: Mapping[str, Any] = {
    "name": "dive", "request_sha256": "0" * 64,
    "dataset": {"id": "01DATASET", "version": 1, "images": {"train": 300, "val": 60}, "findings": []},
    "network": {"width": 640, "height": 640, "stride": 16, "classes": ["buoy", "gate"]},
    "training": {"recipe": "default", "epochs": 18, "batch_size": 5},
}  # fmt: skip


@dataclass
class Fleet:
    """So many jobs, RUNNING of which run; the others have ended."""

    store: CountingStore
    documents: Documents
    reconciler: Reconciler

    def list_page(self) -> object:
        """What GET /v1/jobs does before it writes JSON."""
        jobs = self.documents.list(job_document.KIND)
        return queue_positions(jobs), jobs[:50]


def rows(_threads: int) -> list[Row]:
    """One line for each number of jobs, of a pass and of a list."""
    with tempfile.TemporaryDirectory() as folder, real_buckets(Path(folder)) as make_store:
        fleets = {count: _fleet(make_store(f"jobs-{count}"), count) for count in JOBS}
        passes = {
            f"{count} jobs ({fleet.store.calls_of(fleet.reconciler.reconcile_all)})": fleet.reconciler.reconcile_all
            for count, fleet in fleets.items()
        }
        lists = {
            f"{count} jobs ({fleet.store.calls_of(fleet.list_page)})": fleet.list_page
            for count, fleet in fleets.items()
        }
        return [
            *in_turns(f"reconcile pass, {RUNNING} running", passes),
            *in_turns("list of jobs, first page", lists),
        ]


def _fleet(store: S3Store, count: int) -> Fleet:
    counting = CountingStore(store)
    documents = Documents(counting)  # type: ignore[arg-type] # what it counts is a store
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda index: _make_job(documents, ended=index >= RUNNING), range(count)))
    settings = LoopSettings(
        max_concurrent_jobs=RUNNING,
        retry_backoff_s=10,
        job_token_lifetime=timedelta(days=1),
        progress_url=lambda *_: "http://t",
        job_token=lambda *_: "token",
    )
    launcher = FakeLauncher(World())
    reconciler = Reconciler(documents, counting, launcher, settings, lambda: START)  # type: ignore[arg-type]
    for _ in range(4):
        reconciler.reconcile_all()
    return Fleet(counting, documents, reconciler)


def _make_job(documents: Documents, *, ended: bool) -> None:
    job_id = new_id()
    body = job_document.new_job(SPEC, "pool", START)
    if ended:
        body |= {"state": "SUCCEEDED", "ended_at": body["created_at"]}
    documents.create(job_document.CHECKPOINT_KIND, job_document.new_checkpoint(job_id), job_id)
    documents.create(job_document.KIND, body, job_id)
