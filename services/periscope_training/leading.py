"""The background work of the replica that leads: jobs, their figures, publications."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from periscope.documents import Body, Document, DocumentMissing, Documents
from periscope_training.actions import State
from periscope_training.awaiting import DatasetWaits
from periscope_training.deletions import Deletions
from periscope_training.evaluating import Evaluator
from periscope_training.gauges import WAITING_STATES, Picture, RunGauges, RunPicture, is_shown
from periscope_training.job_document import CHECKPOINT_KIND, KIND
from periscope_training.leadership import Leadership
from periscope_training.progress import ProgressRecords
from periscope_training.publish import Publisher
from periscope_training.reconcile import Reconciler
from periscope_training.waiting_reasons import cause_of

IDLE_S = 2.0
"""Between looks at the store while no job is under way: how long a request to another replica waits."""
SWEEP_EVERY_S = 60.0
PICTURE_EVERY_S = 2.0
"""With a pass and a scrape a second, less than 5 s: an epoch that takes so long is in Prometheus."""


class JobLoop:
    """One step: renew the leadership, look at every job, now and then sweep and take the gauges' picture."""

    def __init__(
        self,
        leadership: Leadership,
        reconciler: Reconciler,
        photographer: Photographer,
        deletions: Deletions,
        busy_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._reconciler = reconciler
        self._photographer = photographer
        self._deletions = deletions
        self._busy_s = busy_s
        self._monotonic = monotonic
        self._swept_at = float("-inf")
        self._pictured_at = float("-inf")

    def step(self) -> float:
        """Do what is to be done now; return seconds until the next step."""
        if not self._leadership.hold():
            return self._leadership.retry_s
        now = self._monotonic()
        if now - self._swept_at >= SWEEP_EVERY_S:
            self._reconciler.sweep()
            self._deletions.finish_all()
            self._swept_at = now
        active = self._reconciler.reconcile_all()
        if now - self._pictured_at >= PICTURE_EVERY_S:
            self._photographer.take()
            self._pictured_at = now
        return self._busy_s if active else IDLE_S


class PublishLoop:
    """One step: take publications as far as they go, while this replica leads."""

    def __init__(self, leadership: Leadership, publisher: Publisher) -> None:
        self._leadership = leadership
        self._publisher = publisher

    def step(self) -> float:
        """Do what is to be done now; return seconds until the next step."""
        if not self._leadership.is_held():
            return IDLE_S
        wait = self._publisher.publish_all(self._leadership.is_held)
        return IDLE_S if wait is None else min(wait, IDLE_S)


class EvaluateLoop:
    """One step: work off evaluations, while this replica leads."""

    def __init__(self, leadership: Leadership, evaluator: Evaluator) -> None:
        self._leadership = leadership
        self._evaluator = evaluator

    def step(self) -> float:
        """Do what is to be done now; return seconds until the next step."""
        if self._leadership.is_held():
            self._evaluator.evaluate_all(self._leadership.is_held)
        return IDLE_S


class WaitLoop:
    """One step: look after jobs that wait for a dataset version, while this replica leads."""

    def __init__(self, leadership: Leadership, waits: DatasetWaits) -> None:
        self._leadership = leadership
        self._waits = waits

    def step(self) -> float:
        """Do what is to be done now; return seconds until the next step."""
        if self._leadership.is_held():
            self._waits.advance_all(self._leadership.is_held)
        return IDLE_S


class Photographer:
    """Takes the gauges' picture from the store."""

    def __init__(
        self,
        documents: Documents,
        progress: ProgressRecords,
        gauges: RunGauges,
        now: Callable[[], datetime],
    ) -> None:
        self._documents = documents
        self._progress = progress
        self._gauges = gauges
        self._now = now

    def take(self) -> None:
        """Show how all jobs stand."""
        now = self._now()
        states: Counter[str] = Counter()

        def is_told(body: Body) -> bool:
            # Counted on the way: of the many that ended long ago no copy is made.
            states[body["state"]] += 1
            return is_shown(body, now) or body["state"] in WAITING_STATES

        jobs = self._documents.matching(KIND, is_told)
        runs = [self._run(document) for document in jobs if is_shown(document.body, now)]
        waiting = [document.body for document in jobs if document.body["state"] in WAITING_STATES]
        causes = Counter(cause_of(body["reason"]) for body in waiting if body["state"] == State.PENDING)
        oldest: dict[str, float] = {}
        for body in waiting:
            waited_s = (now - datetime.fromisoformat(body["history"][-1]["at"])).total_seconds()
            oldest[body["state"]] = max(waited_s, oldest.get(body["state"], 0.0))
        self._gauges.show(Picture(now, states, runs, causes, oldest))

    def _run(self, document: Document) -> RunPicture:
        try:
            checkpoint = self._documents.get(CHECKPOINT_KIND, document.id).body
        except DocumentMissing:
            checkpoint = None
        return RunPicture(document.id, document.body, checkpoint, self._progress.latest(document.id))
