"""Where the services are and who calls: options, then the environment, then the file of the embedded default.

The file is ``.periscope/client.json`` in the working folder or one above it, as ``make serve`` writes it;
another place is named by PERISCOPE_CLIENT_FILE, or by PERISCOPE_HOME as for the embedded default.
No credentials of the object store come here: bytes go by presigned URLs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from periscope.client import ServiceClient
from periscope_cli.console import Console
from periscope_cli.failures import USAGE, CommandFailed
from periscope_cli.progress import ProgressLine

CLIENT_FILE = Path(".periscope") / "client.json"
SERVICES = ("dataset", "training", "registry")
PAGE_SIZE = 200
MAX_PAGES = 500
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Connection:
    """Addresses and token; an address may be missing until a command needs it."""

    dataset_url: str | None
    training_url: str | None
    registry_url: str | None
    token: str | None

    @classmethod
    def find(cls, given: Mapping[str, str | None], environ: Mapping[str, str], folder: Path) -> Connection:
        """``given`` are the options by name (``dataset_url`` ... ``token``).

        Raises:
            CommandFailed: the client file is there and cannot be read.
        """
        from_file = _load_client_file(environ, folder)
        names = [f"{service}_url" for service in SERVICES] + ["token"]
        values = {
            name: given.get(name) or environ.get(f"PERISCOPE_{name.upper()}") or from_file.get(name)
            for name in names
        }
        return cls(**values)


class Session:
    """One command's services and console."""

    def __init__(self, connection: Connection, console: Console) -> None:
        self._connection = connection
        self.console = console

    @cached_property
    def dataset(self) -> ServiceClient:
        """The dataset service."""
        return self._client("dataset", self._connection.dataset_url)

    @cached_property
    def training(self) -> ServiceClient:
        """The training service."""
        return self._client("training", self._connection.training_url)

    @cached_property
    def registry(self) -> ServiceClient:
        """The registry."""
        return self._client("registry", self._connection.registry_url)

    def progress(self) -> ProgressLine:
        """A progress line on standard error."""
        return ProgressLine(self.console.err, self.console.quiet)

    def _client(self, service: str, url: str | None) -> ServiceClient:
        if not url:
            raise CommandFailed(
                f"where is the {service} service? Give --{service}-url or PERISCOPE_{service.upper()}_URL, "
                f"or start the embedded services (`make serve`) in this folder",
                USAGE,
            )
        return ServiceClient(url, self._connection.token, timeout_s=TIMEOUT_S)


def pages(client: ServiceClient, path: str, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """All items of a list, page by page."""
    query = {"page_size": PAGE_SIZE, **(params or {})}
    for _ in range(MAX_PAGES):
        page = client.get(path, params=query)
        yield from page["items"]
        if page.get("next_page_token") is None:
            return
        query["page_token"] = page["next_page_token"]


def _load_client_file(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    path = _client_file(environ, folder)
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}", USAGE) from error
    if not isinstance(document, dict):
        raise CommandFailed(f"{path} must hold a JSON object", USAGE)
    return {str(name): str(value) for name, value in document.items()}


def _client_file(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("PERISCOPE_CLIENT_FILE")
    if named:
        return Path(named)
    if environ.get("PERISCOPE_HOME"):
        home_file = Path(environ["PERISCOPE_HOME"]) / CLIENT_FILE.name
        return home_file if home_file.is_file() else None
    for place in (folder, *folder.parents):
        path = place / CLIENT_FILE
        # Another user's file could send our pictures elsewhere.
        if path.is_file() and path.stat().st_uid == os.getuid():
            return path
    return None
