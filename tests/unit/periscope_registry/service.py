"""The registry's application on a store in memory, for tests that talk HTTP to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from werkzeug.test import TestResponse

from periscope.documents import Documents
from periscope.tokens import Role, Tokens
from periscope_registry.app import create_service
from periscope_registry.settings import Settings
from tests.fakes import MemoryStore

ADMIN = "admin-token"


class Service:
    """Callers by role, and what a publisher does in several steps."""

    def __init__(self, scratch_dir: Path, store: MemoryStore | None = None, **settings: Any) -> None:
        self.store = store or MemoryStore()
        self.settings = Settings(admin_token=ADMIN, scratch_dir=scratch_dir, **settings)
        made = create_service(self.settings, self.store)
        self.app, self.gauges, self.metrics = made.app, made.gauges, made.metrics
        self.client = self.app.test_client()
        self._tokens = Tokens(Documents(self.store))
        self._texts: dict[tuple[Role, str | None], str] = {}

    def token(self, role: Role, device_id: str | None = None) -> str:
        """A token of this role."""
        if role == "admin":
            return ADMIN
        known = self._texts.get((role, device_id))
        if known is None:
            known = self._texts[role, device_id] = self._tokens.issue(role, role, device_id)[0]
        return known

    def call(
        self,
        method: str,
        path: str,
        role: Role = "editor",
        device_id: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> TestResponse:
        sent = {"Authorization": f"Bearer {self.token(role, device_id)}", **(headers or {})}
        # Buffered: the answer is read and closed, as a server does it.
        return self.client.open(path, method=method, headers=sent, **{"buffered": True, **options})

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def put(self, path: str, body: Any, **options: Any) -> TestResponse:
        return self.call("PUT", path, json=body, **options)

    def post(self, path: str, body: Any, **options: Any) -> TestResponse:
        return self.call("POST", path, json=body, **options)

    def upload(self, model: str, body: bytes) -> str:
        """Put a zip where the registry says; return the upload's id."""
        self.put(f"/v1/models/{model}", {})
        created = self.post(f"/v1/models/{model}/uploads", {"filename": "m.zip", "size_bytes": len(body)})
        assert created.status_code == 201, created.text
        start = 0
        for part in created.json["parts"]:
            self._put_part(part["url"], body[start : start + part["size_bytes"]])
            start += part["size_bytes"]
        return str(created.json["upload_id"])

    def finalize(self, model: str, upload_id: str, **notes: Any) -> TestResponse:
        return self.post(f"/v1/models/{model}/uploads/{upload_id}:finalize", notes)

    def publish(self, model: str, body: bytes, **notes: Any) -> TestResponse:
        """Upload and finalize."""
        return self.finalize(model, self.upload(model, body), **notes)

    def _put_part(self, url: str, body: bytes) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        key = parts.netloc + parts.path
        self.store.put_part(key, query["upload"][0], int(query["part"][0]), body)
