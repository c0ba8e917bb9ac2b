"""Sending a file and finalizing it; an upload that was broken off is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from periscope.client import Progress, ServiceClient, ServiceProblem, sha256_of
from periscope_cli.client.calls import Document, keyed, pages

FINALIZE_TIMEOUT_S = 300.0
"""The registry reads and checks the whole zip before it answers."""
_NO_LONGER_OURS = (requests.codes.not_found, requests.codes.conflict)


def send_file(
    client: ServiceClient,
    uploads: str,
    path: Path,
    notes: Mapping[str, Any],
    on_progress: Progress | None = None,
) -> Document:
    """Send a file to the uploads of a model or data set; return the answer to ``:finalize``.

    An upload of the same bytes that was broken off is gone on with. Whoever sends these bytes at the same
    time may go on with it too, and finalize it first: then the file gets an upload of its own.

    Raises:
        ServiceError: as for any call.
    """
    begun = _broken_off(client, uploads, path)
    if begun is not None:
        try:
            return _send(client, uploads, path, notes, on_progress, begun)
        except ServiceProblem as error:
            if error.status not in _NO_LONGER_OURS:
                raise
    return _send(client, uploads, path, notes, on_progress, None)


def _send(
    client: ServiceClient,
    uploads: str,
    path: Path,
    notes: Mapping[str, Any],
    on_progress: Progress | None,
    begun: Document | None,
) -> Document:
    upload = client.upload_file(uploads, path, on_progress, begun=begun)
    answer: Document = client.post(
        f"{uploads}/{upload['upload_id']}:finalize",
        json=dict(notes),
        headers=keyed(),
        timeout_s=FINALIZE_TIMEOUT_S,
    )
    return answer


def _broken_off(client: ServiceClient, uploads: str, path: Path) -> Document | None:
    """An upload of these very bytes that nobody finalized yet, with what of it has arrived."""
    found = [item for item in pages(client, uploads) if item["size_bytes"] == path.stat().st_size]
    if not found:
        return None
    sha256 = sha256_of(path)
    for item in found:
        if item.get("sha256") == sha256:
            try:
                begun: Document = client.get(f"{uploads}/{item['upload_id']}")
            except ServiceProblem as error:
                if error.status not in _NO_LONGER_OURS:
                    raise
                continue
            return begun
    return None
