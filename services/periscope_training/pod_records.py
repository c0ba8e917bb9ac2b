"""What is kept in the store of each pod of an attempt, before the cluster forgets it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from periscope import keys
from periscope.store import ObjectMissing, ObjectStore
from periscope_training.pod_state import PodState, told_end


@dataclass(frozen=True)
class PodRecord:
    """A pod, what it wrote and what the cluster told about it."""

    pod: PodState
    log: bytes = b""
    events: tuple[str, ...] = ()

    @property
    def text(self) -> bytes:
        """What it wrote, or its last lines, when the node told no more."""
        message = self.pod.message.encode()
        return self.log if message in self.log else self.log + message + b"\n"


class PodRecords:
    """Records by attempt and pod; a later look at the same pod replaces the earlier one."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def save(self, job_id: str, attempt: int, record: PodRecord) -> None:
        """Keep a record. Raises StoreUnavailable."""
        body = {
            "pod": record.pod.as_dict(),
            "log": record.log.decode("utf-8", "replace"),
            "events": list(record.events),
        }
        key = keys.attempt_pod(job_id, attempt, record.pod.uid)
        self._store.put(key, json.dumps(body).encode(), content_type="application/json")

    def load(self, job_id: str, attempt: int) -> Sequence[PodRecord]:
        """All records of an attempt, the oldest pod first. Raises StoreUnavailable."""
        found = []
        for info in self._store.list(keys.attempt_pods_prefix(job_id, attempt)):
            try:
                body = json.loads(self._store.get(info.key).body)
            except ObjectMissing:
                continue
            log = body["log"].encode()
            found.append(PodRecord(PodState(**body["pod"]), log, tuple(body["events"])))
        return sorted(found, key=lambda record: (record.pod.created_at, record.pod.name))


def written(record: PodRecord, *, alone: bool) -> bytes:
    """A pod's log, after what is known of the pod; alone and undisturbed, the log only."""
    pod = record.pod
    if alone and not pod.disruption:
        return record.text
    lines = [f"--- pod {pod.name} on node {pod.node or 'none'}, made {pod.created_at}\n"]
    lines += [f"--- event {event}\n" for event in record.events]
    if pod.ended or pod.leaving_until:
        lines.append(f"--- it ended: {told_end(pod) or f'exit status {pod.exit_code}'}\n")
    # The log last: its last line may be the program's own report.
    return "".join(lines).encode() + record.text


def told_event(event: Mapping[str, Any]) -> str:
    """An event of Kubernetes as a line."""
    at = event.get("lastTimestamp") or event.get("eventTime") or ""
    return f"{at} {event.get('reason', '')}: {event.get('message', '')}".strip()
