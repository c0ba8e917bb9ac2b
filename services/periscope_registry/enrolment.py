"""Enrolment: a one-time code that a person makes and a robot turns into its own token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Body, Conflict, Document, DocumentMissing, Documents
from periscope.tokens import Tokens
from periscope_registry.rules import NotYours

KIND = "enrolments"
VALID = timedelta(hours=24)


class Enrolment:
    """The codes of one store: one for each device, the newest counts."""

    def __init__(self, documents: Documents, tokens: Tokens) -> None:
        self._documents = documents
        self._tokens = tokens

    def make_code(self, device: Document) -> tuple[str, str]:
        """A code and until when it holds; it is shown here and nowhere else, and ends the one before."""
        code = secrets.token_hex(16)
        expires_at = to_rfc3339(utc_now() + VALID)
        body: Body = {"sha256": _sha256(code), "expires_at": expires_at}
        try:
            self._documents.create(KIND, body, device.id)
        except Conflict:
            self._documents.update(KIND, device.id, lambda _: body)
        return code, expires_at

    def enrol(self, device: Document | None, code: str) -> str:
        """The device's token. The code is spent first: of many who send it at once, one gets a token.

        Raises:
            NotYours: there is no such device, or the code is wrong, spent or too old.
        """
        refusal = NotYours("this code does not hold for this device; have a new one made")
        if device is None:
            raise refusal
        try:
            found = self._documents.get(KIND, device.id)
        except DocumentMissing as error:
            raise refusal from error
        if not hmac.compare_digest(found.body["sha256"] or "", _sha256(code)):
            raise refusal
        if from_rfc3339(found.body["expires_at"]) < utc_now():
            raise refusal
        try:
            self._documents.replace(found, found.body | {"sha256": None})
        except Conflict as error:
            raise refusal from error
        name = str(device.body["device"])
        return self._tokens.issue("device", name, name)[0]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
