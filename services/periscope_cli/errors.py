"""What can go wrong for a caller of the client, besides the failures of a single call."""

from __future__ import annotations

from pydantic import BaseModel

from periscope.client import ServiceError


class NotThere(ServiceError):
    """Nothing on the server has this name."""


class AddressMissing(ServiceError):
    """Nobody said where a service is."""


class ConnectionUnusable(ServiceError):
    """The file with addresses and token cannot be read or written, or has no such context."""


class Ended(ServiceError):
    """What was waited for did not succeed; ``answer`` is how it ended."""

    def __init__(self, message: str, answer: BaseModel) -> None:
        super().__init__(message)
        self.answer = answer
