"""Sending a file and finalizing it; an upload that was broken off is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from periscope.client import FINALIZE_TIMEOUT_S, Progress, ServiceClient, ServiceProblem, sha256_of
from periscope_cli.client.calls import Document, keyed, pages

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
    upload_id = _broken_off(client, uploads, path)
    if upload_id is not None:
        try:
            begun: Document = client.get(f"{uploads}/{upload_id}")
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


def _broken_off(client: ServiceClient, uploads: str, path: Path) -> str | None:
    """The id of an upload of these very bytes that nobody finalized yet."""
    size_bytes = path.stat().st_size
    alike = [item for item in pages(client, uploads) if item["size_bytes"] == size_bytes]
    # Big files are read for their digest only where it can matter.
    sha256 = sha256_of(path) if alike else None
    return next((item["upload_id"] for item in alike if item.get("sha256") == sha256), None)
