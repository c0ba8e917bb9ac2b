"""What a training Job's pods say of themselves, and what that means for the attempt. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from periscope_training.job_manifest import CONTAINER, EXIT_CODES_THAT_FAIL, EXIT_STOPPED

LOST_AFTER = timedelta(seconds=60)
"""Past a pod's last moment: who should have ended it by then does not answer."""


@dataclass(frozen=True)
class PodState:
    """A pod of an attempt as it was last seen; plain values, so that it can be kept."""

    uid: str
    name: str
    created_at: str
    """RFC 3339, whole seconds, by the API server's clock."""
    node: str = ""
    running: bool = False
    ended: bool = False
    leaving_until: str = ""
    """When a pod that is being deleted must have ended; empty for any other."""
    exit_code: int | None = None
    reason: str = ""
    """Kubernetes' word for why it ended, such as OOMKilled or Evicted."""
    message: str = ""
    """Why it ended in Kubernetes' words, or the last lines that it wrote."""
    disruption: str = ""
    """Why the surroundings took it away; empty when they did not."""
    wait_reason: str = ""
    wait_message: str = ""

    @property
    def started(self) -> bool:
        """Whether the training program ever ran in it."""
        return self.running or self.exit_code is not None

    @property
    def preempted(self) -> bool:
        """Whether Kubernetes makes another pod in its place without counting a failure."""
        return self.ended and (bool(self.disruption) or self.exit_code == EXIT_STOPPED)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended it for its memory."""
        return self.reason == "OOMKilled"

    def is_lost(self, now: datetime) -> bool:
        """Whether it should have ended by now and nobody has said so: its node does not answer."""
        if self.ended or not self.leaving_until:
            return False
        return now > datetime.fromisoformat(self.leaving_until) + LOST_AFTER

    def as_dict(self) -> dict[str, Any]:
        """For keeping."""
        return asdict(self)


def pod_state(pod: Mapping[str, Any]) -> PodState:
    """Read a pod's JSON."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    container: Mapping[str, Any] = next(
        (each for each in status.get("containerStatuses") or [] if each["name"] == CONTAINER), {}
    )
    state = container.get("state") or {}
    terminated = state.get("terminated") or {}
    waiting_reason, waiting_message = _wait(status, state)
    return PodState(
        uid=metadata["uid"],
        name=metadata["name"],
        created_at=metadata["creationTimestamp"],
        node=pod["spec"].get("nodeName") or "",
        running="running" in state and status.get("phase") == "Running",
        ended=status.get("phase") in ("Succeeded", "Failed"),
        leaving_until=metadata.get("deletionTimestamp") or "",
        exit_code=terminated.get("exitCode"),
        reason=terminated.get("reason") or status.get("reason") or "",
        message=(terminated.get("message") or status.get("message") or "").strip(),
        disruption=_disruption(status),
        wait_reason=waiting_reason,
        wait_message=waiting_message,
    )


def gone(pod: PodState, now: datetime) -> PodState:
    """A pod that was there and is not any more, as far as it was seen."""
    if pod.ended:
        return pod
    disruption = pod.disruption or "the pod was deleted"
    left = {"running": False, "ended": True, "disruption": disruption}
    return PodState(**{**pod.as_dict(), **left, "leaving_until": pod.leaving_until or now.isoformat()})


def deciding_pod(pods: Sequence[PodState]) -> PodState | None:
    """The pod whose end is the attempt's: one that nothing can mend, else the newest.

    Of several that ended together (a training on several nodes), those that others took along count less.
    """
    ended = [pod for pod in pods if pod.ended]
    if not ended:
        return None
    for is_it in (
        lambda pod: pod.exit_code in EXIT_CODES_THAT_FAIL,
        lambda pod: pod.out_of_memory,
        lambda pod: not pod.preempted and pod.exit_code not in (None, 0),
    ):
        found = [pod for pod in ended if is_it(pod)]
        if found:
            return max(found, key=lambda pod: (pod.created_at, pod.name))
    return max(ended, key=lambda pod: (pod.created_at, pod.name))


def told_end(pod: PodState) -> str:
    """How a pod ended, where its exit status does not tell; in words for people."""
    if pod.out_of_memory:
        return "out of memory: the pod used more than it may. Start a job with a smaller batch_size"
    if pod.disruption:
        return f"taken away by the cluster: {pod.disruption}"
    if pod.exit_code is None:
        return f"the pod ended without an exit status: {pod.reason} {pod.message}".strip(" :")
    return ""


def _disruption(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason") or "a disruption")
    return ""


def _wait(status: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, str]:
    if status.get("phase") != "Pending":
        return "", ""
    waiting = state.get("waiting") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return condition.get("reason") or "Unschedulable", condition.get("message") or ""
    return waiting.get("reason") or "", waiting.get("message") or ""


def utc(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text).astimezone(UTC)
