"""A lease: who alone may do a thing for a while, as a document that expires."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Body, Conflict, Document, DocumentMissing, Documents

KIND = "leases"


class Lease:
    """One named lease as one holder sees it. Clocks of holders may differ by less than ``ttl_s``."""

    def __init__(
        self,
        documents: Documents,
        name: str,
        holder: str,
        ttl_s: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._documents = documents
        self._name = name
        self._holder = holder
        self._ttl = timedelta(seconds=ttl_s)
        self._now = now

    def acquire(self) -> bool:
        """Take or renew the lease; False while another holds it. Raises StoreUnavailable."""
        try:
            document = self._documents.get(KIND, self._name)
        except DocumentMissing:
            return self._create()
        if not self._may_take(document):
            return False
        try:
            self._documents.replace(document, self._body(self._now() + self._ttl))
        except Conflict:
            return False
        return True

    def release(self) -> None:
        """Give the lease up at once, if it is ours."""
        try:
            document = self._documents.get(KIND, self._name)
            if document.body["holder"] == self._holder:
                self._documents.replace(document, self._body(self._now()))
        except (DocumentMissing, Conflict):
            return

    def _create(self) -> bool:
        try:
            self._documents.create(KIND, self._body(self._now() + self._ttl), self._name)
        except Conflict:
            return False
        return True

    def _may_take(self, document: Document) -> bool:
        expired = from_rfc3339(document.body["expires_at"]) <= self._now()
        return expired or document.body["holder"] == self._holder

    def _body(self, expires_at: datetime) -> Body:
        return {"name": self._name, "holder": self._holder, "expires_at": to_rfc3339(expires_at)}
