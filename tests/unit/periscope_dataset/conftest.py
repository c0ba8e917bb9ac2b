"""A dataset service in memory, driven through its HTTP calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from periscope import keys
from periscope_dataset.app import DatasetService, create_service
from periscope_dataset.settings import Settings
from periscope_dataset.worker import IngestWorker
from tests.fakes import MemoryStore

TOKEN = "admin-token"


@dataclass
class House:
    """The service, its store, and a client that is an administrator."""

    store: MemoryStore
    service: DatasetService
    client: FlaskClient

    @property
    def worker(self) -> IngestWorker:
        return self.service.ingests

    def call(self, method: str, path: str, status: int, **kwargs: Any) -> Any:
        answer = self.client.open(path, method=method, headers={"Authorization": f"Bearer {TOKEN}"}, **kwargs)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json() if answer.is_json else answer

    def dataset(self, name: str = "dive") -> str:
        return str(self.call("POST", "/v1/datasets", 201, json={"name": name})["id"])

    def upload(self, dataset_id: str, archive: bytes, filename: str = "dive.zip") -> str:
        announced = {"filename": filename, "size_bytes": len(archive)}
        upload = self.call("POST", f"/v1/datasets/{dataset_id}/uploads", 201, json=announced)
        upload_id = str(upload["upload_id"])
        self.store.put_part(keys.upload(upload_id), self.store_upload_id(upload), 1, archive)
        return upload_id

    def store_upload_id(self, upload: dict[str, Any]) -> str:
        return str(upload["parts"][0]["url"]).split("upload=")[1].split("&")[0]

    def finalize(self, dataset_id: str, upload_id: str, **options: Any) -> str:
        path = f"/v1/datasets/{dataset_id}/uploads/{upload_id}:finalize"
        return str(self.call("POST", path, 202, json={"options": options})["id"])

    def ingest(self, dataset_id: str, archive: bytes, **options: Any) -> dict[str, Any]:
        """Upload, finalize, let the worker work, and tell how the ingest ended."""
        ingest_id = self.finalize(dataset_id, self.upload(dataset_id, archive), **options)
        self.worker.step()
        found: dict[str, Any] = self.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)
        return found


def open_house(store: MemoryStore, folder: Path) -> House:
    service = create_service(Settings(folder, TOKEN, shard_bytes=Settings.shard_bytes), store, "holder")
    return House(store, service, service.app.test_client())


@pytest.fixture
def house(memory_store: MemoryStore, tmp_path: Path) -> House:
    return open_house(memory_store, tmp_path)
