"""Looks at something on a service again and again until it has ended, also while the service restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from periscope.client import ServiceClient, ServiceUnreachable
from periscope_cli.console import Console

POLL_S = 1.0
PATIENCE_S = 180.0
"""How long a service may be away before waiting for it ends."""

Document = dict[str, Any]


def poll(
    client: ServiceClient,
    path: str,
    ends: Collection[str],
    show: Callable[[Document], None],
    console: Console,
) -> Document:
    """Show each answer; return the first whose ``state`` is one of ``ends``.

    Raises:
        ServiceUnreachable: the service was away for longer than PATIENCE_S.
        ServiceProblem: it refused.
    """
    patience_ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            document: Document = client.get(path)
        except ServiceUnreachable as error:
            if time.monotonic() > patience_ends:
                raise
            console.note(f"no answer, trying on: {error}")
            time.sleep(POLL_S)
            continue
        patience_ends = time.monotonic() + PATIENCE_S
        show(document)
        if document["state"] in ends:
            return document
        time.sleep(POLL_S)
