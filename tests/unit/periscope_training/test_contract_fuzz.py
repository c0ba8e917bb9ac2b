"""Schemathesis on the training service with a trained job, a publication, an evaluation and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detectnet.recipes import resolve_training
from detectnet.training_prototxt import train_val_prototxt
from tests.contract_fuzz import fuzz, never_reached
from tests.unit.periscope_training.epoch_files import (
    CAFFEMODEL,
    HEIGHT,
    WIDTH,
    epoch_files,
    save_epoch_files,
)
from tests.unit.periscope_training.service import PROGRESS, Service, committed_epoch

STREAMS = ("/v1/jobs/{job_id}/events", "/v1/jobs/{job_id}/log")
"""An open stream of a running job has no end; they have tests of their own."""
OWN_TOKEN = ("/v1/jobs/{job_id}/attempts/{attempt}/progress",)


class Seeded:
    """A service in which everything exists, and goes on to exist whatever the requests remove."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.picture = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
        self.service.house.datasets.labelled["val", "a"] = (self.picture, "")
        self.job_id = self._job()
        self.known: dict[str, str] = {}

    def _job(self) -> str:
        job_id = self.service.create_job(input={"width": WIDTH, "height": HEIGHT})
        files = save_epoch_files(self.service.house.store, job_id, epoch_files())
        self.service.commit(job_id, {**committed_epoch(1, 0.5), "files": files})
        self.service.house.loop()
        self.service.report(job_id, 1, PROGRESS)
        return job_id

    def resources(self) -> dict[str, str]:
        if not self._are_there():
            if self.service.get(f"/v1/jobs/{self.job_id}").status_code != 200:
                self.job_id = self._job()
            epoch = f"/v1/jobs/{self.job_id}/epochs/1"
            published = self.service.post(f"{epoch}:publish", json={"model": "buoys"}).json["id"]
            evaluated = self.service.post(f"{epoch}:evaluate", json={}).json["id"]
            self.service.post("/v1/pretrained-models", json={"name": "w", "job_id": self.job_id})
            self.known = {
                "job_id": self.job_id,
                "epoch": "best",
                "publication_id": published,
                "evaluation_id": evaluated,
                "name": "w",
            }
        return self.known

    def plain_requests(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        """What chance seldom finds: pictures, weights, ids inside bodies, a job that has ended."""
        job_id = self.resources()["job_id"]
        epoch, picture = f"/v1/jobs/{job_id}/epochs/1", {"data": self.picture, "content_type": "image/png"}
        over = self.service.create_job()
        self.service.post(f"/v1/jobs/{over}:cancel")
        self.service.house.loop()
        waiting = self.service.create_job()
        paused = self.service.create_job()
        self.service.post(f"/v1/jobs/{paused}:pause")
        weights = {"data": epoch_files()[CAFFEMODEL], "content_type": "application/octet-stream"}
        options = resolve_training("digits", {}, threads=1)
        network = {"json": {"network": train_val_prototxt(64, 48, 2, options)}}
        named = {"json": {"name": "again", "job_id": job_id}}
        return {
            "POST /v1/jobs/{job_id}/epochs/{epoch}:predict": ("POST", f"{epoch}:predict", picture),
            "POST /v1/jobs/{job_id}/epochs/{epoch}:layers": ("POST", f"{epoch}:layers", picture),
            "POST /v1/jobs/{job_id}:pause": ("POST", f"/v1/jobs/{waiting}:pause", {}),
            "POST /v1/jobs/{job_id}:resume": ("POST", f"/v1/jobs/{paused}:resume", {}),
            "DELETE /v1/jobs/{job_id}": ("DELETE", f"/v1/jobs/{over}", {}),
            "GET /v1/history.png": ("GET", f"/v1/history.png?job={job_id}", {}),
            "POST /v1/pretrained-models": ("POST", "/v1/pretrained-models", named),
            "POST /v1/pretrained-models:upload": ("POST", "/v1/pretrained-models:upload?name=sent", weights),
            "POST /v1/networks:describe": ("POST", "/v1/networks:describe", network),
            "POST /v1/jobs/{job_id}:clone": ("POST", f"/v1/jobs/{job_id}:clone", {"json": {}}),
        }

    def _are_there(self) -> bool:
        urls = [f"/v1/jobs/{self.job_id}", "/v1/pretrained-models/w"]
        urls.append(f"/v1/evaluations/{self.known.get('evaluation_id', 'none')}")
        return all(self.service.get(url).status_code == 200 for url in urls)


@pytest.mark.slow
def test_no_request_gets_an_undeclared_answer_and_every_operation_works(tmp_path: Path) -> None:
    seeded = Seeded(tmp_path)
    headers = {"Authorization": "Bearer admin"}

    found = fuzz(seeded.service.service.app, headers, seeded.resources, leave_out=(*STREAMS, *OWN_TOKEN))

    assert len(found) >= 30
    assert set(never_reached(found)) <= set(seeded.plain_requests())
    for operation, (method, url, more) in seeded.plain_requests().items():
        answered = seeded.service.call(method, url, "admin", **more)
        assert 200 <= answered.status_code < 300, (operation, answered.text)
