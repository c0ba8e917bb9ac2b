"""The training service's application on fakes, for tests that talk HTTP to it."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from periscope import job_tokens
from periscope.lease import Lease
from periscope.tokens import Tokens
from periscope_training.app import Adapters, create_service
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.launching import LEASE
from periscope_training.progress import ProgressRecords
from periscope_training.settings import Settings
from tests.unit.periscope_training.fake_registry import FakeRegistry
from tests.unit.periscope_training.house import House

SECRET = "secret of the job tokens"
PROGRESS: dict[str, Any] = {
    "step": 30,
    "max_step": 120,
    "epoch": 0.5,
    "epochs": 2,
    "learning_rate": 3e-4,
    "train": {"loss_bbox": 1.5, "loss_coverage": 0.5},
    "val": None,
    "images_per_second": 11.0,
    "eta_s": 90.0,
    "at": "2026-11-01T12:00:00.000000Z",
}


def class_figures(value: float) -> dict[str, float]:
    return {"precision": value, "recall": value, "digits_map": value, "pooled_map": value}


def committed_epoch(number: float, digits_map: float) -> dict[str, Any]:
    """An entry of the checkpoint document, as the training program makes it."""
    validation = {
        "loss_bbox": 1.0,
        "loss_coverage": 0.2,
        "digits_map": digits_map,
        "pooled_map": digits_map,
        "classes": {"buoy": class_figures(digits_map), "gate": class_figures(digits_map)},
    }
    train = {"loss_bbox": 1.5, "loss_coverage": 0.5}
    return {
        "epoch": number,
        "step": round(60 * number),
        "attempt": 1,
        "files": {},
        "metrics": {
            "learning_rate": 3e-4,
            "images_per_second": 11.0,
            "train": train,
            "val": validation,
            "all_zero_coverage_loss": 8.9,
        },
    }


class Service:
    def __init__(
        self, work_dir: Path, house: House | None = None, kubernetes: KubernetesSettings | None = None
    ) -> None:
        self.house = house or House()
        settings = Settings(
            work_dir=work_dir,
            dataset_url="http://d",
            registry_url="http://r",
            own_url="http://t",
            service_token="service",
            job_token_secret=SECRET,
            admin_token="admin",
            poll_s=0.02,
            lease_ttl_s=60,
            kubernetes=kubernetes,
        )
        registry = FakeRegistry(self.house.fate)
        lease = Lease(self.house.documents, LEASE, secrets.token_hex(8), settings.lease_ttl_s)
        adapters = Adapters(
            self.house.store, self.house.launcher, self.house.datasets, registry, lease, self.house.clock
        )
        self.service = create_service(settings, adapters)
        self.client: FlaskClient = self.service.app.test_client()
        tokens = Tokens(self.house.documents)
        self.tokens = {role: tokens.issue(role, role)[0] for role in ("viewer", "editor")} | {
            "admin": "admin"
        }

    def call(self, method: str, path: str, role: str = "editor", **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.tokens[role]}", **more.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, "viewer", **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.call("POST", path, **more)

    def create_job(self, **more: Any) -> str:
        return str(self.post("/v1/jobs", json={"name": "dive", "dataset": "pool", **more}).json["id"])

    def report(self, job_id: str, attempt: int, body: Any, *, token: str | None = None) -> TestResponse:
        until = self.house.clock() + timedelta(hours=1)
        text = job_tokens.issue(SECRET, job_id, attempt, until) if token is None else token
        path = f"/v1/jobs/{job_id}/attempts/{attempt}/progress"
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {text}"})

    @property
    def service_progress(self) -> ProgressRecords:
        """What training programs have said, as a replica of its own reads it."""
        return ProgressRecords(self.house.store)

    def lead(self) -> None:
        """What the background work does in one round."""
        self.service.job_loop.step()

    def publish(self) -> None:
        """What the publishing worker does in one round; this replica leads."""
        self.service.publish_loop.step()

    def commit(self, job_id: str, *epochs: dict[str, Any]) -> None:
        self.house.documents.update("checkpoints", job_id, lambda body: {**body, "epochs": list(epochs)})


def reporting_service(work_dir: Path) -> Service:
    """A leader with one run that has said all that a run can say."""
    service = Service(work_dir)
    service.house.restart()
    job_id = service.create_job()
    service.house.loop()
    service.report(job_id, 1, PROGRESS)
    service.commit(job_id, committed_epoch(1, 0.5))
    service.lead()
    return service
