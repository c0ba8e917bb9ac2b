"""What a run remembers, so that an interrupted one goes on where it stopped instead of beginning anew.

The keys make its requests the same requests when they are sent again: the services then answer with the job
and the publication that are there already.
"""

from __future__ import annotations

import secrets
from typing import Any

from periscope_embedded.home import Home

RUN_FILE = "run.json"


class RunMemory:
    """One run: its wishes, its keys and what it has reached."""

    def __init__(self, home: Home, document: dict[str, Any], *, is_resumed: bool) -> None:
        self._home = home
        self._document = document
        self.is_resumed = is_resumed

    @property
    def key(self) -> str:
        """Begins the idempotency keys of this run's requests."""
        return str(self._document["key"])

    def get(self, name: str) -> Any:
        """What was reached, or None."""
        return self._document["reached"].get(name)

    def keep(self, name: str, value: Any) -> None:
        """Remember what was reached."""
        self._document["reached"][name] = value
        self._home.save(RUN_FILE, self._document)

    def forget(self) -> None:
        """The run has ended, well or badly: the next one begins anew."""
        self._home.forget(RUN_FILE)


def recall_run(home: Home, wishes: dict[str, Any]) -> tuple[RunMemory, str | None]:
    """The interrupted run with the same wishes, or a new one.

    The second value is the job of an interrupted run with other wishes, which nobody waits for any more.
    """
    known = home.load(RUN_FILE)
    if known is not None and known["wishes"] == wishes:
        return RunMemory(home, known, is_resumed=True), None
    abandoned = None if known is None else known["reached"].get("job_id")
    document = {"wishes": wishes, "key": secrets.token_hex(12), "reached": {}}
    home.save(RUN_FILE, document)
    return RunMemory(home, document, is_resumed=False), abandoned
