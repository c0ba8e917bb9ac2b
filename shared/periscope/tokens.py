"""Bearer tokens: made once, shown once, kept as SHA-256 only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Document, DocumentMissing, Documents
from periscope.ids import is_id, new_id
from periscope.roles import Role

KIND = "tokens"
PREFIX = "psc"
CACHE_S = 10.0


@dataclass(frozen=True)
class Principal:
    """Who calls, as the token tells."""

    role: Role
    name: str
    device_id: str | None = None


class Tokens:
    """All tokens of one store, and the admin token of the first start."""

    def __init__(
        self,
        documents: Documents,
        admin_token: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._admin_sha256 = _sha256(admin_token) if admin_token else None
        self._monotonic = monotonic
        self._cache: dict[str, tuple[float, Document | None]] = {}
        self._lock = threading.Lock()

    def issue(self, role: Role, name: str, device_id: str | None = None) -> tuple[str, Document]:
        """Make a token; its text is returned here and nowhere else."""
        token_id, secret = new_id(), secrets.token_urlsafe(32).replace("_", "-")
        text = f"{PREFIX}_{token_id}_{secret}"
        body = {
            "role": role,
            "name": name,
            "device_id": device_id,
            "sha256": _sha256(text),
            "created_at": to_rfc3339(utc_now()),
        }
        return text, self._documents.create(KIND, body, token_id)

    def authenticate(self, text: str) -> Principal | None:
        """Whose token this is, or None. A revoked one may pass for 10 seconds more."""
        if self._admin_sha256 is not None and hmac.compare_digest(_sha256(text), self._admin_sha256):
            return Principal("admin", "bootstrap")
        prefix, _, rest = text.partition("_")
        token_id = rest.partition("_")[0]
        if prefix != PREFIX or not is_id(token_id):
            return None
        document = self._load(token_id)
        if document is None or not hmac.compare_digest(_sha256(text), document.body["sha256"]):
            return None
        return Principal(document.body["role"], document.body["name"], document.body["device_id"])

    def list(self) -> list[Document]:
        """All tokens, without their texts, oldest first."""
        return self._documents.list(KIND)

    def revoke(self, token_id: str) -> bool:
        """Remove a token; False where there is none."""
        try:
            self._documents.get(KIND, token_id)
        except DocumentMissing:
            return False
        self._documents.delete(KIND, token_id)
        with self._lock:
            self._cache.pop(token_id, None)
        return True

    def _load(self, token_id: str) -> Document | None:
        now = self._monotonic()
        with self._lock:
            cached = self._cache.get(token_id)
            if cached is not None and now - cached[0] < CACHE_S:
                return cached[1]
        try:
            document: Document | None = self._documents.get(KIND, token_id)
        except DocumentMissing:
            document = None
        with self._lock:
            if len(self._cache) > 10_000:
                self._cache.clear()
            self._cache[token_id] = (now, document)
        return document


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
