"""Real stores for the comparisons, and how often they are asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS


class CountingStore:
    """A store that counts what is asked of it."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def counted(*positional: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return method(*positional, **named)

        return counted

    def calls_of(self, act: Callable[[], object]) -> str:
        """Which calls one ``act`` makes."""
        self.calls.clear()
        act()
        return ", ".join(f"{count} {name}" for name, count in sorted(self.calls.items()))


@contextmanager
def real_buckets(folder: Path) -> Iterator[Callable[[str], S3Store]]:
    """Makes a bucket of a name on a server of its own."""
    server = SeaweedFS(folder / "store")
    server.start()
    try:
        server.wait_ready()

        def make(bucket: str) -> S3Store:
            server.make_bucket(bucket)
            return S3Store.from_environ(server.environ(bucket))

        yield make
    finally:
        server.stop()
