"""What all parts of the client do: ask for all pages of a list, and again until something ends."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import requests
from pydantic import BaseModel

from periscope.client import ServiceClient, ServiceUnreachable

PAGE_SIZE = 200
MAX_PAGES = 500
PATIENCE_S = 180.0
"""How long a service may be away before waiting for something ends."""
POLL_S = 1.0
JOB_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")

Document = dict[str, Any]
Answer = TypeVar("Answer", bound=BaseModel)


def keyed(key: str | None = None) -> dict[str, str]:
    """The header that makes a POST safe to send twice; a fresh key unless an earlier request is repeated."""
    return {"Idempotency-Key": key or secrets.token_hex(16)}


def pages(client: ServiceClient, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Document]:
    """All items of a list, page by page."""
    query = {"page_size": PAGE_SIZE, **(params or {})}
    for _ in range(MAX_PAGES):
        page = client.get(path, params=query)
        yield from page["items"]
        if page.get("next_page_token") is None:
            return
        query["page_token"] = page["next_page_token"]


def typed_pages(
    client: ServiceClient, path: str, kind: type[Answer], params: Mapping[str, Any] | None = None
) -> Iterator[Answer]:
    """The same, as typed answers."""
    return (kind.model_validate(item) for item in pages(client, path, params))


class PatientReader:
    """One service, read by somebody who outlasts its being away, for PATIENCE_S at a time."""

    def __init__(self, client: ServiceClient, note: Callable[[str], None] = lambda _: None) -> None:
        """``note`` is told of each try that got no answer."""
        self._client = client
        self._note = note
        self.heard()

    def heard(self) -> None:
        """The service has just been there."""
        self._heard_at = time.monotonic()

    def get(self, path: str, **how: Any) -> requests.Response:
        """Raises ServiceProblem where the service refuses, ServiceUnreachable where it does not come back."""
        while True:
            try:
                answer = self._client.call("GET", path, **how)
            except ServiceUnreachable as error:
                if time.monotonic() - self._heard_at > PATIENCE_S:
                    raise
                self._note(f"no answer, trying on: {error}")
                time.sleep(POLL_S)
            else:
                self.heard()
                return answer


def until(
    client: ServiceClient,
    path: str,
    ends: Collection[str],
    show: Callable[[Document], None],
    note: Callable[[str], None] = lambda _: None,
) -> Document:
    """Show each answer; return the first whose ``state`` is one of ``ends``.

    Raises:
        ServiceUnreachable: the service was away for longer than PATIENCE_S; before, ``note`` is told.
        ServiceProblem: it refused.
    """
    reader = PatientReader(client, note)
    while True:
        document: Document = reader.get(path).json()
        show(document)
        if document["state"] in ends:
            return document
        time.sleep(POLL_S)
