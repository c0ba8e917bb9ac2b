"""Live curves: what is new of a job, again and again, until it has ended or the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from periscope.documents import Documents
from periscope.web.long_poll import LONGEST_STREAM_S
from periscope_training.curve_text import event
from periscope_training.job_document import CHECKPOINT_KIND, KIND, is_final
from periscope_training.progress import ProgressRecords

LOOK_EVERY_S = 1.0
EPOCH_SHOWN = ("epoch", "step", "attempt", "metrics")
HEARTBEAT_S = 15.0
"""A comment line after so long without news, so that proxies keep the connection."""


@dataclass
class Told:
    """What the client knows already."""

    state: tuple[str, str] = ("", "")
    step: int = -1
    epoch_step: int = -1


class LiveCurves:
    """Events of one job at a time; see :meth:`events`."""

    def __init__(
        self,
        documents: Documents,
        progress: ProgressRecords,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._progress = progress
        self._sleep = sleep
        self._monotonic = monotonic

    def events(self, job_id: str, last_step: int = -1) -> Iterator[str]:
        """``state``, ``progress`` and ``epoch`` events after ``last_step``, and ``end`` when it has ended.

        An event's id is its step, so a client that comes again goes on there. The epoch of that very step is
        told again: the connection may have broken between it and the progress of the same step.
        """
        told = Told(step=last_step, epoch_step=last_step - 1)
        yield "retry: 2000\n\n"
        started_at = spoke_at = self._monotonic()
        while True:
            job = self._documents.get(KIND, job_id).body
            for text in self._news(job_id, job, told):
                yield text
                spoke_at = self._monotonic()
            if is_final(job):
                yield event("end", {"state": job["state"], "reason": job["reason"]})
                return
            now = self._monotonic()
            if now - started_at >= LONGEST_STREAM_S:
                return
            if now - spoke_at >= HEARTBEAT_S:
                yield ": still here\n\n"
                spoke_at = now
            self._sleep(LOOK_EVERY_S)

    def _news(self, job_id: str, job: Mapping[str, Any], told: Told) -> Iterator[str]:
        state = (job["state"], job["reason"])
        if state != told.state:
            told.state = state
            yield event("state", {"state": state[0], "reason": state[1]})
        records = list(self._progress.since(job_id, told.step))
        # Read second: an epoch is committed before its progress is told, so it is there beside its record.
        epochs = [
            entry
            for entry in self._documents.get(CHECKPOINT_KIND, job_id).body["epochs"]
            if entry["step"] > told.epoch_step
        ]
        steps = [(record["step"], "progress", record) for record in records]
        steps += [(entry["step"], "epoch", {name: entry[name] for name in EPOCH_SHOWN}) for entry in epochs]
        # Of one step the progress stays before the epoch.
        steps.sort(key=lambda item: item[0])
        for step, name, shown in steps:
            told.step = max(told.step, step)
            yield event(name, shown, told.step)
        if epochs:
            told.epoch_step = epochs[-1]["step"]
