"""The three services and the store as one small HTTP server with state, for the command line's tests.

It keeps the contract's shapes and nothing more; the real services have their own tests.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PART_BYTES = 4000
PAGE = 2
TOKEN = "psc_test"

AT = "2025-01-01T00:00:00Z"

Answer = tuple[int, Any, dict[str, str]]


def ulid(number: int) -> str:
    return f"01JZZZZZZZZZZZZZZZZZZZ{number:04d}"


class FakeServices:
    """The state; tests look into it and change it."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.datasets: dict[str, str] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.announced: dict[str, dict[str, Any]] = {}
        """Uploads that are not finished."""
        self.puts: list[tuple[str, int]] = []
        self.refuse_puts_after: int | None = None
        self.no_such_uploads: set[str] = set()
        """Uploads that the store has completed: it takes no more parts of them."""
        self.ingest_states: list[dict[str, Any]] = [{"state": "SUCCEEDED", "version": 1}]
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        """Successive answers of each job; the last one stays."""
        self.keys: dict[str, str] = {}
        self.publication_states: list[dict[str, Any]] = []
        self.zip = bytes(range(256)) * 400
        self.released_sha256 = self.zip_sha256
        self.export_forms: list[str] = []
        self.zip_location: str | None = None
        self.cut_download_at: int | None = None
        self.answer_503 = self.answer_503_to_ingests = 0
        """So many requests are answered that the service is away."""

    @property
    def zip_sha256(self) -> str:
        return hashlib.sha256(self.zip).hexdigest()

    def release_for(self, device: str) -> dict[str, Any]:
        """An unsigned likeness; the command line looks at the zip only."""
        told = {"device": device, "model": "m", "version": 3, "zip": {"sha256": self.released_sha256}}
        return {"release": {"document": json.dumps(told), "signature": "s", "key_id": "k"}, "roots": []}

    def bodies(self, method: str, path: str) -> list[Any]:
        """What was sent there."""
        return [body for sent, where, body, _ in self.requests if (sent, where) == (method, path)]

    def add_job(self, number: int, name: str, *states: dict[str, Any]) -> str:
        job_id = ulid(number)
        self.jobs[job_id] = [job_document(job_id, name, **state) for state in states or ({},)]
        return job_id

    def uploaded(self) -> bytes:
        """The one uploaded file."""
        (parts,) = self.uploads.values()
        return b"".join(body for _, body in sorted(parts.items()))


TIMES = {"created_at": AT, "updated_at": AT}
INGEST = {
    "id": "1", "dataset_id": ulid(1), "state": "RUNNING", "progress": 0.5, "version": None,
    "errors": [], "error_count": 0, "warnings": [], "warning_count": 0, **TIMES,
}  # fmt: skip
INGEST_ERROR = {"file": None, "line": None, "code": "bad_label", "message": "", "advice": ""}
PUBLICATION = {
    "id": "1", "job_id": ulid(1), "epoch": 1.0, "step": 60, "reason": "", "parity": None, "warnings": [],
    "version": 3, "zip": None, "history": [], **TIMES,
}  # fmt: skip
VERSION = {
    "model": "m", "version": 3, "members": [], "labels": ["buoy"], "width": 320, "height": 320, "description": "",
    "metrics": None, "lineage": None, "published_by": "ci", "created_at": AT,
}  # fmt: skip
GPUS = {"launcher": "process", "max_concurrent_jobs": 1, "running": 0, "gpus_per_job": 0, "gpus": []}
MODEL = {"name": "m", "description": "", "latest_version": 3, "aliases": [], **TIMES}
DEVICE = {
    "device": "sub-1", "model": "m", "alias": None, "version": None, "last_contact_at": None,
    "last_report": None, **TIMES,
}  # fmt: skip


def job_document(job_id: str, name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "name": name,
        "state": "QUEUED",
        "reason": "",
        "desired": "RUN",
        "dataset": {"id": ulid(1), "name": "dive", "version": 1},
        "network": {"width": 320, "height": 320, "classes": ["buoy"]},
        "training": {"recipe": "default", "epochs": 2},
        "attempts": [],
        "error": None,
        "progress": None,
        "latest_epoch": None,
        "best_epoch": None,
        "history": [],
        "retry_at": None,
        "ended_at": None,
        **TIMES,
    } | fields


def device_document(device: str, wish: dict[str, Any]) -> dict[str, Any]:
    alias = {} if "version" in wish else {"alias": "latest"}
    return {**DEVICE, **alias, "device": device, **wish}


def dataset_document(name: str, dataset_id: str) -> dict[str, Any]:
    return {"id": dataset_id, "name": name, "latest_version": None, **TIMES}


def alias_document(version: int) -> dict[str, Any]:
    return {"model": "m", "alias": "latest", "version": version, "history": [], **TIMES}


TOKEN_DOCUMENT = {"id": ulid(9), "token": "psc_new", "device_id": None, "created_at": AT}


def epoch(number: float, digits_map: float) -> dict[str, Any]:
    losses = {"loss_bbox": 2.0, "loss_coverage": 0.5}
    val = {**losses, "digits_map": digits_map, "classes": {"buoy": {"digits_map": digits_map}}}
    metrics = {"train": losses, "val": val}
    return {"epoch": number, "step": 60, "attempt": 1, "best": False, "metrics": metrics}


def problem(status: int, detail: str, **extra: Any) -> Answer:
    return status, {"title": "no", "status": status, "detail": detail, **extra}, {}


class Routes:
    """What each address does."""

    def __init__(self, services: FakeServices) -> None:
        self._services = services
        self.table: list[tuple[str, str, Callable[..., Answer]]] = [
            ("POST", r"/v1/datasets", self.make_dataset),
            ("GET", r"/v1/datasets", self.list_datasets),
            ("POST", r"/v1/\w+/[^/]+/uploads", self.make_upload),
            ("GET", r"/v1/\w+/[^/]+/uploads", self.list_uploads),
            ("GET", r"/v1/\w+/[^/]+/uploads/([^/]+)", self.upload),
            ("POST", r"/v1/datasets/([^/]+)/uploads/([^/]+):finalize", self.finalize),
            ("GET", r"/v1/datasets/[^/]+/ingests/1", self.ingest),
            ("GET", r"/v1/datasets/[^/]+/versions/latest", lambda *_: ok({"version": 7})),
            ("GET", r"/v1/datasets/[^/]+/versions/7/export", self.export),
            ("GET", r"/v1/gpus", lambda *_: ok(GPUS)),
            ("POST", r"/v1/jobs", self.make_job),
            ("GET", r"/v1/jobs", self.list_jobs),
            ("GET", r"/v1/jobs/([^/:]+)", self.job),
            ("POST", r"/v1/jobs/([^/:]+):cancel", self.cancel),
            ("GET", r"/v1/jobs/([^/:]+)/log", self.log),
            ("POST", r"/v1/jobs/([^/:]+)/epochs/([^/:]+):publish", self.publish),
            ("GET", r"/v1/publications/1", self.publication),
            ("GET", r"/v1/models", lambda *_: ok({"items": [MODEL], "next_page_token": None})),
            ("GET", r"/v1/models/m/aliases/latest", lambda *_: ok(alias_document(3))),
            ("GET", r"/v1/models/m/versions/3", self.version),
            ("GET", r"/v1/models/m/versions/3/zip", self.redirect_to_zip),
            ("GET", r"/v1/devices/([^/]+)/release", lambda _, __, device: ok(services.release_for(device))),
            ("PUT", r"/v1/devices/([^/]+)", lambda _, body, device: ok(device_document(device, body))),
            ("POST", r"/v1/tokens", lambda _, body: ok({**TOKEN_DOCUMENT, **body})),
            ("DELETE", r"/v1/tokens/([^/]+)", lambda *_: (204, None, {})),
        ]

    def make_dataset(self, query: dict[str, str], body: Any) -> Answer:
        if body["name"] in self._services.datasets:
            return problem(409, "there is one of this name")
        self._services.datasets[body["name"]] = ulid(len(self._services.datasets) + 1)
        return 201, dataset_document(body["name"], self._services.datasets[body["name"]]), {}

    def list_datasets(self, query: dict[str, str], body: Any) -> Answer:
        items = [
            dataset_document(name, found)
            for name, found in self._services.datasets.items()
            if query.get("name") in (None, name)
        ]
        return ok({"items": items, "next_page_token": None})

    def make_upload(self, query: dict[str, str], body: Any) -> Answer:
        upload_id = ulid(100 + len(self._services.uploads))
        self._services.uploads[upload_id] = {}
        self._services.announced[upload_id] = body
        return 201, self.upload(query, None, upload_id)[1], {}

    def list_uploads(self, query: dict[str, str], body: Any) -> Answer:
        items = [{"upload_id": found, **told} for found, told in self._services.announced.items()]
        return ok({"items": items, "next_page_token": None})

    def upload(self, query: dict[str, str], body: Any, upload_id: str) -> Answer:
        size_bytes = self._services.announced[upload_id]["size_bytes"]
        sizes = [min(PART_BYTES, size_bytes - at) for at in range(0, size_bytes, PART_BYTES)]
        parts = [
            {"number": number, "size_bytes": size, "url": f"{self._services.url}/put/{upload_id}/{number}"}
            for number, size in enumerate(sizes, start=1)
        ]
        received = [
            {"number": number, "size_bytes": len(raw), "etag": hashlib.md5(raw).hexdigest()}
            for number, raw in sorted(self._services.uploads[upload_id].items())
        ]
        return ok({"upload_id": upload_id, "parts": parts, "received": received})

    def finalize(self, query: dict[str, str], body: Any, dataset_id: str, upload_id: str) -> Answer:
        self._services.announced.pop(upload_id)
        return 202, {**INGEST, "dataset_id": dataset_id, "state": "QUEUED"}, {}

    def ingest(self, query: dict[str, str], body: Any) -> Answer:
        if self._services.answer_503_to_ingests:
            self._services.answer_503_to_ingests -= 1
            return problem(503, "the object store does not answer")
        ingest = {**INGEST, **next_of(self._services.ingest_states)}
        for kind in ("errors", "warnings"):
            ingest[kind] = [{**INGEST_ERROR, **told} for told in ingest[kind]]
        return ok(ingest)

    def make_job(self, query: dict[str, str], body: Any) -> Answer:
        if body.get("input", {}).get("width", 16) % 16:
            entry = {"pointer": "/input/width", "message": "the nearest are 304 and 320"}
            return problem(422, "1 field(s) are wrong.", errors=[entry])
        return 201, self._services.jobs[self._services.add_job(500, body["name"])][0], {}

    def list_jobs(self, query: dict[str, str], body: Any) -> Answer:
        start = int(query.get("page_token", 0))
        items = [
            states[-1]
            for _, states in sorted(self._services.jobs.items())
            if query.get("state") in (None, states[-1]["state"])
        ]
        more = start + PAGE < len(items)
        return ok(
            {"items": items[start : start + PAGE], "next_page_token": str(start + PAGE) if more else None}
        )

    def job(self, query: dict[str, str], body: Any, job_id: str) -> Answer:
        states = self._services.jobs.get(job_id)
        return problem(404, f"there is no job {job_id}") if states is None else ok(next_of(states))

    def cancel(self, query: dict[str, str], body: Any, job_id: str) -> Answer:
        return 202, self._services.jobs[job_id][-1] | {"desired": "cancelled"}, {}

    def log(self, query: dict[str, str], body: Any, job_id: str) -> Answer:
        return 200, "first line\nlast line\n", {}

    def publish(self, query: dict[str, str], body: Any, job_id: str, which: str) -> Answer:
        base = {**PUBLICATION, "model": body["model"], "aliases": body["aliases"]}
        self._services.publication_states = self._services.publication_states or [{"state": "SUCCEEDED"}]
        states = self._services.publication_states
        self._services.publication_states = [base | state for state in states]
        return 202, {**base, "state": "QUEUED"}, {}

    def publication(self, query: dict[str, str], body: Any) -> Answer:
        return ok(next_of(self._services.publication_states))

    def version(self, query: dict[str, str], body: Any) -> Answer:
        sha256, size_bytes = self._services.zip_sha256, len(self._services.zip)
        return ok({**VERSION, "zip": {"sha256": sha256, "size_bytes": size_bytes, "url": "/zip"}})

    def export(self, query: dict[str, str], body: Any) -> Answer:
        self._services.export_forms.append(query["format"])
        return self.redirect_to_zip(query, body)

    def redirect_to_zip(self, query: dict[str, str], body: Any) -> Answer:
        return 307, None, {"Location": self._services.zip_location or f"{self._services.url}/blob"}


def ok(document: Any) -> Answer:
    return 200, document, {}


def next_of(states: list[dict[str, Any]]) -> dict[str, Any]:
    return states.pop(0) if len(states) > 1 else states[0]


def serve(services: FakeServices) -> ThreadingHTTPServer:  # noqa: C901 - a class in a function
    """A server on a free port; its address goes into the state."""
    routes = Routes(services)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # Answers go out in one piece, else each costs a delayed acknowledgement.

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urlsplit(self.path)
            if parts.path.startswith("/put/"):
                return self.take_part(parts.path, raw)
            if parts.path == "/blob":
                return self.send_blob()
            body = json.loads(raw) if raw else None
            services.requests.append((self.command, parts.path, body, dict(self.headers)))
            return self.send(*self.find(parts.path, dict(parse_qsl(parts.query)), body))

        def find(self, path: str, query: dict[str, str], body: Any) -> Answer:
            if services.answer_503:
                services.answer_503 -= 1
                return problem(503, "the object store does not answer")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return problem(401, "this token is not known")
            for method, pattern, act in routes.table:
                found = re.fullmatch(pattern, path)
                if method == self.command and found:
                    return act(query, body, *found.groups())
            return problem(404, f"nothing is at {path}")

        def take_part(self, path: str, raw: bytes) -> None:
            # A presigned URL must be called without our token.
            assert "Authorization" not in self.headers
            _, _, upload_id, number = path.split("/")
            services.puts.append((upload_id, int(number)))
            if services.refuse_puts_after is not None and len(services.puts) > services.refuse_puts_after:
                return self.send(403, {"detail": "not now"}, {})
            if upload_id in services.no_such_uploads:
                return self.send(404, {"detail": "NoSuchUpload"}, {})
            services.uploads[upload_id][int(number)] = raw
            return self.send(200, None, {"ETag": '"x"'})

        def send_blob(self) -> None:
            assert "Authorization" not in self.headers
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            services.requests.append(("GET", "/blob", start, dict(self.headers)))
            rest = services.zip[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            cut, services.cut_download_at = services.cut_download_at, None
            self.wfile.write(rest[:cut])
            self.close_connection = cut is not None

        def send(self, status: int, document: Any, headers: dict[str, str]) -> None:
            is_text = isinstance(document, str)
            body = b"" if document is None else (document if is_text else json.dumps(document)).encode()
            self.send_response(status)
            kind = "application/problem+json" if status >= 400 else "application/json"
            for name, value in {"Content-Type": "text/plain" if is_text else kind, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    services.url = f"http://127.0.0.1:{server.server_address[1]}"
    return server
