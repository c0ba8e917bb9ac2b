"""Where the services are and who calls: options, environment, a file of the folder, what was logged in to.

The file is ``.periscope/client.json`` in the working folder or one above it, as ``make serve`` writes it;
another place is named by PERISCOPE_CLIENT_FILE, or by PERISCOPE_HOME as for the embedded default. A context
that is asked for by name goes before that file. No credentials of the object store come here: bytes go by
presigned URLs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from periscope_cli.contexts import Contexts
from periscope_cli.errors import ConnectionUnusable

CLIENT_FILE = Path(".periscope") / "client.json"
SERVICES = ("dataset", "training", "registry")
NAMES = (*(f"{service}_url" for service in SERVICES), "token")


@dataclass(frozen=True)
class Connection:
    """Addresses and token; an address may be missing until a command needs it."""

    dataset_url: str | None
    training_url: str | None
    registry_url: str | None
    token: str | None

    @classmethod
    def find(cls, given: Mapping[str, str | None], environ: Mapping[str, str], folder: Path) -> Connection:
        """``given`` are the options by name (``dataset_url`` ... ``token``, ``context``).

        Raises:
            ConnectionUnusable: a file with addresses cannot be read, or there is no such context.
        """
        contexts, named = Contexts.of(environ), given.get("context") or environ.get("PERISCOPE_CONTEXT")
        stored = contexts.named(named) if named else _load_client_file(environ, folder) or contexts.current()
        values = {
            name: given.get(name) or environ.get(f"PERISCOPE_{name.upper()}") or stored.get(name)
            for name in NAMES
        }
        return cls(**values)


def _load_client_file(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    path = _client_file(environ, folder)
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConnectionUnusable(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ConnectionUnusable(f"{path} must hold a JSON object")
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
