"""What the embedded default reads from its environment; everything has a default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from periscope_embedded.home import DEFAULT_FOLDER, SERVICES

MAX_PORT = 65_535


class BadSettings(Exception):
    """A variable makes no sense; the text names it."""


@dataclass(frozen=True)
class Settings:
    """Where things lie and on which ports they listen."""

    home: Path = Path(DEFAULT_FOLDER)
    """``PERISCOPE_HOME``: the folder for data, logs and secrets."""

    service_ports: Mapping[str, int] = field(default_factory=dict)
    """``PERISCOPE_DATASET_PORT`` and so on; else free ones, kept."""

    s3_port: int | None = None
    """``PERISCOPE_S3_PORT``: the store's; else a free one, kept."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raise BadSettings naming the variable that is no port."""
        ports = {name: _port(environ, f"PERISCOPE_{name.upper()}_PORT") for name in SERVICES}
        return cls(
            home=Path(environ.get("PERISCOPE_HOME") or DEFAULT_FOLDER),
            service_ports={name: port for name, port in ports.items() if port is not None},
            s3_port=_port(environ, "PERISCOPE_S3_PORT"),
        )


def _port(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) <= MAX_PORT:
        raise BadSettings(f"{name} must be a port number from 1 to {MAX_PORT}, not {text!r}")
    return int(text)
