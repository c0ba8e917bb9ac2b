"""A training program without training: it keeps the job contract and behaves as the job's name says.

The name holds words: ``steps=20`` in all, ``pace=0.05`` seconds each; ``data`` finds bad data at once,
``crash=5`` dies at that step in the first attempt, ``deaf`` ignores SIGTERM. Five steps are an epoch.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from typing import Any

import requests

from periscope import keys
from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Documents
from periscope.s3 import S3Store

STEPS_PER_EPOCH = 5


class Superseded(Exception):
    """A newer attempt has the checkpoint document."""


class Trainer:
    def __init__(self, job_id: str, attempt: int) -> None:
        self.job_id, self.attempt = job_id, attempt
        self.store = S3Store.from_environ(os.environ)
        self.documents = Documents(self.store)
        spec = json.loads(self.store.get(keys.job_spec(job_id)).body)
        words = dict(word.partition("=")[::2] for word in spec["name"].split())
        self.words = words
        self.steps, self.pace_s = int(words.get("steps", 20)), float(words.get("pace", 0.05))
        self.crash_at = int(words.get("crash", -1)) if attempt == 1 else -1
        self.stopping = False

    def run(self) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in self.words else self._hear)
        if "data" in self.words:
            report = {"error": "img.png does not decode.", "code": "image", "advice": "Replace it."}
            print(json.dumps(report), file=sys.stderr, flush=True)
            return 65
        latest = self.commit(lambda body: body)["latest"]
        start = 0 if latest is None else latest["step"]
        print(f"attempt {self.attempt} begins at step {start}", flush=True)
        for step in range(start + 1, self.steps + 1):
            time.sleep(self.pace_s)
            if step == self.crash_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if step % STEPS_PER_EPOCH == 0 or step == self.steps:
                self.save_epoch(step)
            self.report(step)
            if self.stopping:
                self.commit(lambda body, step=step: {**body, "latest": self.latest(step)})
                return 143
        print("complete", flush=True)
        return 0

    def save_epoch(self, step: int) -> None:
        figures = {"precision": 0.5, "recall": 0.5, "digits_map": step / 100, "pooled_map": 0.5}
        validation = {
            "loss_bbox": 1.0,
            "loss_coverage": 0.5,
            "digits_map": step / 100,
            "pooled_map": 0.5,
            "classes": {"buoy": figures},
        }
        metrics = {
            "learning_rate": 0.1,
            "images_per_second": 9.0,
            "train": self.losses(step),
            "val": validation,
        }
        entry = {
            "epoch": step / STEPS_PER_EPOCH,
            "step": step,
            "attempt": self.attempt,
            "files": {"checkpoint.pt": self.latest(step)["file"]},
            "metrics": metrics,
        }
        self.commit(
            lambda body: {
                **body,
                "epochs": [*body["epochs"], entry],
                "latest": self.latest(step),
                "complete": step == self.steps,
            }
        )

    def latest(self, step: int) -> dict[str, Any]:
        key = keys.attempt_epoch_file(self.job_id, self.attempt, step, "checkpoint.pt")
        content = f"step {step}".encode()
        self.store.put(key, content)
        file = {"key": key, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        return {"step": step, "epoch": step / STEPS_PER_EPOCH, "file": file}

    def commit(self, change: Any) -> dict[str, Any]:
        def fenced(body: dict[str, Any]) -> dict[str, Any]:
            if body["attempt"] > self.attempt:
                raise Superseded
            return {**change(body), "attempt": self.attempt}

        return self.documents.update("checkpoints", self.job_id, fenced).body

    def losses(self, step: int) -> dict[str, float]:
        return {"loss_bbox": 10.0 / step, "loss_coverage": 1.0 / step}

    def report(self, step: int) -> None:
        record = {
            "step": step,
            "max_step": self.steps,
            "epoch": step / STEPS_PER_EPOCH,
            "epochs": self.steps / STEPS_PER_EPOCH,
            "learning_rate": 0.1,
            "train": self.losses(step),
            "val": None,
            "images_per_second": 9.0,
            "eta_s": (self.steps - step) * self.pace_s,
            "at": to_rfc3339(utc_now()),
        }
        headers = {"Authorization": f"Bearer {os.environ['PERISCOPE_PROGRESS_TOKEN']}"}
        try:
            requests.post(os.environ["PERISCOPE_PROGRESS_URL"], json=record, headers=headers, timeout=5)
        except requests.RequestException as error:
            print(f"progress was not heard: {error}", flush=True)

    def _hear(self, *_: object) -> None:
        self.stopping = True


def main(arguments: list[str]) -> int:
    command, _, job_id, _, attempt = arguments
    if command != "job":
        return 64
    try:
        return Trainer(job_id, int(attempt)).run()
    except Superseded:
        return 73


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
