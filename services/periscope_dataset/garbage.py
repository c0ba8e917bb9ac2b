"""Removes blobs that nothing names any more: first marks all that are named anywhere, then sweeps the others.

Every hash in a version's manifest, a document of any kind, a job's specification or an ingest's notes counts
as a name, whichever service wrote it. A blob goes when collections have found it without a name for the grace
period. A collection that dies is simply followed by another.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from periscope import keys
from periscope.blobs import FRESH_S, condemn, condemned, reprieve
from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Documents
from periscope.lease import Lease
from periscope.store import ObjectInfo, ObjectMissing, ObjectStore
from periscope_dataset.holding import HeldLease

LEASE = "garbage"
LEASE_TTL_S = 60.0
LEAST_GRACE_S = 6 * FRESH_S
"""What is written or relied on today is named long before."""
BATCH = 100
CONDEMNED_S = 300.0
MARGIN_S = 60.0
READERS = 8
NAMES = (keys.INGESTS, keys.ALL_VERSIONS, keys.JOBS, keys.ALL_DOCUMENTS)
"""Where blobs are named, in the order in which names move on: from ingests to versions, then to jobs."""

_SHA256 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

log = structlog.get_logger()


class AlreadyCollecting(Exception):
    """Another collection is under way."""


@dataclass
class Collected:
    """What a collection found and did."""

    dry_run: bool
    blobs: int = 0
    named: int = 0
    waiting: int = 0
    """Without a name, and not yet for the grace period."""
    waiting_bytes: int = 0
    removed: int = 0
    """With ``dry_run``: that would be removed."""
    removed_bytes: int = 0
    examples: list[str] = field(default_factory=list)
    """Hashes of the first ones."""


class Collector:
    """Collects the garbage of one store; one collection at a time."""

    def __init__(
        self,
        store: ObjectStore,
        documents: Documents,
        holder: str,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._documents = documents
        self._holder = holder
        self._now = now

    def collect(self, grace_s: float, *, dry_run: bool) -> Collected:
        """Remove what has had no name for ``grace_s`` (at least six hours), or tell what would be.

        Raises:
            AlreadyCollecting: by another process, or by this one.
            StoreUnavailable, LeaseLost: it was not finished; begin another.
        """
        # Each collection is a holder of its own: two requests to one process must not both go on.
        lease = Lease(self._documents, LEASE, f"{self._holder}-{to_rfc3339(utc_now())}", LEASE_TTL_S)
        held = HeldLease.take(lease, LEASE_TTL_S)
        if held is None:
            raise AlreadyCollecting("a collection of garbage is under way; try again when it has ended")
        with held:
            return self._collect(held, timedelta(seconds=max(grace_s, LEAST_GRACE_S)), dry_run=dry_run)

    def _collect(self, held: HeldLease, grace: timedelta, *, dry_run: bool) -> Collected:
        begun, known, named = self._now(), self._known(), named_blobs(self._store)
        found, since, doomed = Collected(dry_run), {}, []
        for info in self._store.list(keys.BLOBS):
            found.blobs += 1
            sha256 = info.key.rpartition("/")[2]
            if sha256 in named:
                found.named += 1
                continue
            since[sha256] = known.get(sha256, begun)
            if max(since[sha256], info.modified_at) <= begun - grace:
                doomed.append(info)
            else:
                found.waiting += 1
                found.waiting_bytes += info.size_bytes
        if dry_run:
            for info in doomed:
                _count(found, info)
            return found
        held.require()
        self._require_no_removal()
        self._note(since)
        for start in range(0, len(doomed), BATCH):
            self._remove(held, doomed[start : start + BATCH], begun - grace, found)
        log.info("garbage_collected", removed=found.removed, removed_bytes=found.removed_bytes)
        return found

    def _remove(
        self, held: HeldLease, doomed: list[ObjectInfo], written_before: datetime, found: Collected
    ) -> None:
        """Remove some blobs, except those that somebody has written again since."""
        until = utc_now() + timedelta(seconds=CONDEMNED_S)
        held.require()
        condemn(self._store, [info.key.rpartition("/")[2] for info in doomed], until)
        for info in doomed:
            held.require()
            if utc_now() > until - timedelta(seconds=MARGIN_S):
                break  # The next collection goes on; writers wait for nobody after that time.
            fresh = self._store.head(info.key)
            if fresh is not None and fresh.modified_at <= written_before:
                self._store.delete(info.key)
                _count(found, info)
        reprieve(self._store)

    def _require_no_removal(self) -> None:
        """A collection that died, or was held up for long, may have one removal on its way yet."""
        removal = condemned(self._store)
        if removal is not None:
            raise AlreadyCollecting(
                f"another collection did not end its removals; try again after {to_rfc3339(removal[1])}"
            )
        reprieve(self._store)

    def _known(self) -> dict[str, datetime]:
        """Since when blobs have had no name, as the collections before found."""
        try:
            told = json.loads(self._store.get(keys.UNREFERENCED_BLOBS).body)
        except ObjectMissing:
            return {}
        return {sha256: from_rfc3339(since) for sha256, since in told.items()}

    def _note(self, since: Mapping[str, datetime]) -> None:
        told = {sha256: to_rfc3339(at) for sha256, at in since.items()}
        self._store.put(keys.UNREFERENCED_BLOBS, json.dumps(told).encode(), content_type="application/json")


def named_blobs(store: ObjectStore) -> set[str]:
    """Every hash that is named anywhere, of blobs and of other things.

    Raises:
        StoreUnavailable: not all could be read.
    """
    named: set[str] = set()
    with ThreadPoolExecutor(READERS) as pool:
        for prefix in NAMES:
            # One place after another: a name that moves on while this reads is met before or behind.
            named = named.union(*pool.map(lambda key: _names_in(store, key), list(_places(store, prefix))))
    return named


def _places(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Objects that may name blobs: of a job only the specification, for the rest is its own."""
    for info in store.list(prefix):
        if prefix != keys.JOBS or info.key == keys.job_spec(info.key.split("/")[1]):
            yield info.key


def _names_in(store: ObjectStore, key: str) -> set[str]:
    try:
        body = store.get(key).body
    except ObjectMissing:
        return set()  # It went since it was listed; where its names went is read later.
    with contextlib.suppress(zlib.error):  # Only an ingest's notes are packed.
        body = zlib.decompress(body)
    return {match.decode() for match in _SHA256.findall(body)}


def _count(found: Collected, info: ObjectInfo) -> None:
    found.removed += 1
    found.removed_bytes += info.size_bytes
    if len(found.examples) < 10:
        found.examples.append(info.key.rpartition("/")[2])
