"""Stores with one fault each: what a store on the other side of a network may do."""

from __future__ import annotations

from periscope.store import PreconditionFailed, StoreUnavailable
from tests.fakes import MemoryStore


class LosesAnswers(MemoryStore):
    """Does the next conditional write and then fails to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_next = False

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        return self._lost(super().put_if_absent(key, body))

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self._lost(super().put_if_match(key, body, etag))

    def _lost(self, etag: str) -> str:
        if self.lose_next:
            self.lose_next = False
            raise StoreUnavailable("the answer is lost")
        return etag


class IgnoresConditions(MemoryStore):
    """A store that takes every conditional write."""

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        return self.put(key, body)


class IgnoresMatches(MemoryStore):
    """A store that takes every replacement."""

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self.put(key, body)


class RefusesOnce(MemoryStore):
    """Answers the next claim as S3 may while writers race: a conflict, and nothing is written."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse_next = True

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        if self.refuse_next:
            self.refuse_next = False
            raise PreconditionFailed("ConditionalRequestConflict")
        return super().put_if_absent(key, body)


class LosesRequests(MemoryStore):
    """The next conditional write never arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_next = False

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        self._lost()
        return super().put_if_absent(key, body)

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        self._lost()
        return super().put_if_match(key, body, etag)

    def _lost(self) -> None:
        if self.lose_next:
            self.lose_next = False
            raise StoreUnavailable("the request is lost")


class LosesBodies(MemoryStore):
    """Stores half of what it is given, and says that all is well."""

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        return super().put(key, body[: len(body) // 2])
