"""What the pods of one attempt write, piece by piece, for somebody who follows it.

Kubernetes gives a log whole, or the lines of the last so many seconds. So each look asks for little more than
the time since the last one, and a line's own time tells whether it was there before. What a pod wrote before
it went is in its record.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from periscope_training.job_manifest import CONTAINER
from periscope_training.kubernetes_api import Cluster, LogLine
from periscope_training.pod_records import PodRecord
from periscope_training.pod_state import PodState

OVERLAP_S = 2
"""Asked for besides: a node may be slow to write a line where it can be read."""
KNOWN_BYTES = 4096


@dataclass
class _Told:
    """How much of a pod's log the follower has."""

    looked_at_s: float | None = None
    at: str = ""
    lines_at: int = 0
    """Lines with just that time."""
    size_bytes: int = 0
    last: bytes = b""
    complete: bool = False

    def add(self, text: bytes) -> bytes:
        self.size_bytes += len(text)
        self.last = (self.last + text)[-KNOWN_BYTES:]
        return text


class PodLogTail:
    """See :class:`periscope_training.launcher.LogTail`."""

    def __init__(
        self,
        cluster: Cluster,
        pods: Callable[[], Sequence[PodState]],
        records: Callable[[], Sequence[PodRecord]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._pods = pods
        self._records = records
        self._monotonic = monotonic
        self._told: dict[str, _Told] = {}
        self._speaking = ""
        self._began = False

    def more(self) -> bytes:
        """The new lines of each pod, the oldest pod first. Raises LauncherUnavailable, StoreUnavailable."""
        present = {pod.uid: pod for pod in self._pods()}
        gone = self._records_of_gone(present)
        pods = sorted([*present.values(), *(record.pod for record in gone.values())], key=_age)
        return b"".join(self._news_of(pod, gone.get(pod.uid)) for pod in pods)

    def close(self) -> None:
        """Nothing is held open."""

    def _records_of_gone(self, present: Mapping[str, PodState]) -> dict[str, PodRecord]:
        """The records of pods that are gone and not told to the end; read only when there may be some."""
        left = any(not told.complete for uid, told in self._told.items() if uid not in present)
        if self._began and not left:
            return {}
        self._began = True
        return {record.pod.uid: record for record in self._records() if record.pod.uid not in present}

    def _news_of(self, pod: PodState, record: PodRecord | None) -> bytes:
        told = self._told.setdefault(pod.uid, _Told())
        if told.complete:
            return b""
        text = self._read(pod, told) if record is None else _rest(record.text, told)
        told.complete = told.complete or record is not None
        if not text:
            return b""
        # With the first word of another pod: which one speaks.
        heading = f"--- pod {pod.name} on node {pod.node or 'none'}\n".encode() if self._speaking else b""
        heading, self._speaking = b"" if self._speaking == pod.uid else heading, pod.uid
        return heading + told.add(text)

    def _read(self, pod: PodState, told: _Told) -> bytes:
        if not pod.started:
            return b""
        now = self._monotonic()
        since_s = None if told.looked_at_s is None else math.ceil(now - told.looked_at_s) + OVERLAP_S
        lines = self._cluster.log_lines(pod.name, CONTAINER, since_s)
        if lines is None:
            return b""
        told.looked_at_s, told.complete = now, pod.ended
        return b"".join(line.text for line in _new_lines(lines, told, whole=pod.ended))


def _new_lines(lines: Sequence[LogLine], told: _Told, *, whole: bool) -> list[LogLine]:
    """Those that were not there before, noted as told; a line that may still grow waits."""
    at, known, new = told.at, told.lines_at, []
    for line in lines:
        if line.at < at or not (whole or line.text.endswith(b"\n")):
            continue
        if line.at == at and known > 0:
            known -= 1
            continue
        told.lines_at = told.lines_at + 1 if line.at == told.at else 1
        told.at = line.at
        new.append(line)
    return new


def _rest(text: bytes, told: _Told) -> bytes:
    """What of a whole log is not told yet; of a very long log the beginning is missing."""
    if text[: told.size_bytes].endswith(told.last):
        return text[told.size_bytes :]
    place = text.rfind(told.last)
    return text if place < 0 else text[place + len(told.last) :]


def _age(pod: PodState) -> tuple[str, str]:
    return pod.created_at, pod.name
