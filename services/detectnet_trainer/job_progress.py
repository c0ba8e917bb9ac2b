"""Posts progress to the training service. Nothing that goes wrong here may stop the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from queue import Queue
from typing import Any

import requests

from detectnet_trainer.engine import StepReport, Trainer
from periscope.clock import to_rfc3339, utc_now

TIMEOUT_S = 5.0
MIN_INTERVAL_S = 5.0
CLOSE_TIMEOUT_S = 10.0


class ProgressReporter:
    """Sends records from a thread of its own, so that a slow service never slows the training."""

    def __init__(self, url: str | None, token: str, trainer: Trainer) -> None:
        self._url = url
        self._token = token
        self._trainer = trainer
        self._started = time.monotonic()
        self._first_step = trainer.step
        self._posted_at = float("-inf")
        self._queue: Queue[Mapping[str, Any] | None] = Queue(maxsize=100)
        self._thread = threading.Thread(target=self._send_all, name="progress", daemon=True)
        if url:
            self._thread.start()

    def post(self, report: StepReport, validation: Mapping[str, Any] | None) -> None:
        """Queue a record; one without validation figures is left out when the last is too fresh."""
        now = time.monotonic()
        too_soon = validation is None and now - self._posted_at < MIN_INTERVAL_S
        if not self._url or too_soon or self._queue.full():
            return
        self._posted_at = now
        self._queue.put_nowait(self._record(report, validation))

    def close(self) -> None:
        """Give what is queued a moment to leave."""
        if self._url:
            self._queue.put(None)
            self._thread.join(CLOSE_TIMEOUT_S)

    def _record(self, report: StepReport, validation: Mapping[str, Any] | None) -> dict[str, Any]:
        plan = self._trainer.plan
        elapsed_s = time.monotonic() - self._started
        done = report.step - self._first_step
        eta_s = elapsed_s / done * (plan.max_step - report.step) if done > 0 else None
        return {
            "step": report.step,
            "max_step": plan.max_step,
            "epoch": report.epoch,
            "epochs": plan.epochs,
            "learning_rate": report.learning_rate,
            "train": {"loss_bbox": report.loss_bbox, "loss_coverage": report.loss_coverage},
            "val": validation,
            "images_per_second": report.images_per_second,
            "eta_s": eta_s,
            "at": to_rfc3339(utc_now()),
        }

    def _send_all(self) -> None:
        last_complaint: str | None = None
        while (record := self._queue.get()) is not None:
            complaint = self._send(record)
            if complaint is not None and complaint != last_complaint:
                print(f"progress was not taken: {complaint}", flush=True)
            last_complaint = complaint

    def _send(self, record: Mapping[str, Any]) -> str | None:
        """Post one record; return what went wrong, or None."""
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = requests.post(str(self._url), json=record, headers=headers, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            return str(error)
        return None if answer.ok else f"{answer.status_code} {answer.reason}"
