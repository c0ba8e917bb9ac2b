"""The registry under gunicorn on the real store, as a process that can be killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.gunicorn_service import GunicornService


class Registry(GunicornService):
    """One replica."""

    def __init__(self, store_environ: Mapping[str, str], folder: Path) -> None:
        super().__init__("periscope_registry", store_environ, folder)

    def publish(self, model: str, path: Path, **notes: Any) -> dict[str, Any]:
        """Upload and finalize, as a publisher does."""
        self.client.put(f"/v1/models/{model}", json={})
        upload = self.client.upload_file(f"/v1/models/{model}/uploads", path)
        answer: dict[str, Any] = self.client.post(
            f"/v1/models/{model}/uploads/{upload['upload_id']}:finalize", json=notes
        )
        return answer

    def versions(self, model: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.client.get(
            f"/v1/models/{model}/versions", params={"page_size": 200}
        )["items"]
        return items
