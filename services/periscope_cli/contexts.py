"""What ``periscope login`` remembers: addresses and token by name, in a file that only its owner can read.

The file is ``periscope/contexts.json`` below XDG_CONFIG_HOME (``~/.config``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from periscope_cli.errors import ConnectionUnusable

Context = Mapping[str, str]


class Contexts:
    """The contexts of one user."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Contexts:
        """Those of the user that the environment names."""
        home = environ.get("XDG_CONFIG_HOME") or str(
            Path(environ.get("HOME") or "~").expanduser() / ".config"
        )
        return cls(Path(home) / "periscope" / "contexts.json")

    def all(self) -> dict[str, Context]:
        """By name. Raises ConnectionUnusable where the file cannot be read."""
        found: dict[str, Context] = self._load()["contexts"]
        return found

    def current_name(self) -> str | None:
        """The one that holds where none is asked for."""
        found: str | None = self._load()["current"]
        return found

    def current(self) -> Context:
        """Addresses and token of that one; empty where there is none."""
        document = self._load()
        found: Context = document["contexts"].get(document["current"], {})
        return found

    def named(self, name: str) -> Context:
        """Raises ConnectionUnusable where there is none of this name."""
        found = self.all()
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise ConnectionUnusable(
                f"there is no context {name!r} (there is {known}); `periscope login` makes one"
            )
        return found[name]

    def save(self, name: str, context: Context) -> None:
        """Keep a context, and take it from now on."""
        document = self._load()
        document["contexts"][name] = dict(context)
        self._write({**document, "current": name})

    def use(self, name: str) -> None:
        """Take this one from now on. Raises ConnectionUnusable."""
        self.named(name)
        self._write({**self._load(), "current": name})

    def forget(self, name: str) -> None:
        """Remove a context with its token. Raises ConnectionUnusable."""
        self.named(name)
        document = self._load()
        del document["contexts"][name]
        if document["current"] == name:
            document["current"] = None
        self._write(document)

    def _load(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text())
            return {"current": document["current"], "contexts": dict(document["contexts"])}
        except FileNotFoundError:
            return {"current": None, "contexts": {}}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConnectionUnusable(
                f"{self.path} cannot be read: {error}; remove it and log in again"
            ) from error

    def _write(self, document: Mapping[str, Any]) -> None:
        draft = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            # Its rights are right before the token is in it.
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(json.dumps(document, indent=2) + "\n")
            draft.replace(self.path)
        except OSError as error:
            raise ConnectionUnusable(f"{self.path} cannot be written: {error}") from error
