"""Root documents as they came, one by one; each must be signed as the one before asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from periscope.documents import Body, Conflict, DocumentMissing, Documents
from periscope.roots import RootRefused, check_root
from periscope_registry.rules import Changed, Unfit, Unknown

KIND = "roots"
ASK_EVERY_S = 2.0


class Roots:
    """The chain of root documents of one store."""

    def __init__(self, documents: Documents, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._documents = documents
        self._monotonic = monotonic
        self._newest = 0
        self._asked_at = float("-inf")

    def get(self, version: int) -> Body:
        """A signed root. Raises Unknown."""
        found = self._find(version)
        if found is None:
            raise Unknown(f"there is no root document {version}")
        return found

    def all(self) -> list[Body]:
        """All, oldest first."""
        return [self.get(version) for version in range(1, self.newest() + 1)]

    def newest(self) -> int:
        """The number of the newest, or 0; one that another replica took is seen after some seconds.

        They are never removed, so only the end is asked for.
        """
        if self._monotonic() - self._asked_at < ASK_EVERY_S:
            return self._newest
        self._asked_at = self._monotonic()
        while self._find(self._newest + 1) is not None:
            self._newest += 1
        return self._newest

    def add(self, version: int, signed: Body) -> bool:
        """Take the next root document; whether it is new.

        Raises:
            Unfit: its signatures do not do, or one before it is missing.
            Changed: another document has this number.
        """
        present = self._find(version)
        if present is not None:
            return self._require_same(version, present, signed)
        previous = self._find(version - 1) if version > 1 else None
        if version > 1 and previous is None:
            raise Unfit("/document", f"root {version - 1} comes first")
        try:
            body = check_root(signed, previous)
        except RootRefused as error:
            raise Unfit("/document", str(error)) from error
        if body["version"] != version:
            raise Unfit("/document", f"this is root {body['version']}, not {version}")
        try:
            self._documents.create(KIND, {"version": version, **signed}, _id(version))
        except Conflict:
            return self._require_same(version, self.get(version), signed)
        self._asked_at = float("-inf")
        return True

    def ensure_first(self, signed: Body) -> None:
        """Take root 1 where there is none. Raises Unfit."""
        if self._find(1) is None:
            self.add(1, signed)

    def _require_same(self, version: int, present: Body, signed: Body) -> bool:
        if present["document"] != signed["document"]:
            raise Changed(f"root {version} is another document already, and stays")
        return False

    def _find(self, version: int) -> dict[str, Any] | None:
        try:
            return self._documents.get(KIND, _id(version)).body
        except DocumentMissing:
            return None


def _id(version: int) -> str:
    return f"{version:08d}"
