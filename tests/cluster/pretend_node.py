"""Plays a node through the API, so that a test decides when a pod runs, fails, is evicted or hangs.

Stands in for a kubelet: nothing is really run. Use the real node where what the container does matters.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kubernetes import client
from kubernetes.client.rest import ApiException

WAIT_TIMEOUT_S = 30
POLL_S = 0.05
Found = TypeVar("Found")
CAPACITY = {"cpu": "8", "memory": "16Gi", "pods": "50", "ephemeral-storage": "100Gi"}


def wait_for(what: str, look: Callable[[], Found | None], timeout_s: float = WAIT_TIMEOUT_S) -> Found:
    """Look until something is there and return it.

    Raises:
        TimeoutError: it never came; the text says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {timeout_s:g} s: {what}")
        time.sleep(POLL_S)
    return found


class PretendNode:
    """A node that exists in the API only."""

    def __init__(
        self, api: client.ApiClient, name: str, extra_capacity: Mapping[str, str] | None = None
    ) -> None:
        self.core = client.CoreV1Api(api)
        self.name = name
        self.capacity = {**CAPACITY, **(extra_capacity or {})}

    def join(self) -> None:
        """Appear in the cluster, ready and untainted."""
        self.core.create_node(
            {"metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}}
        )
        self._patch_status("True")
        wait_for(f"{self.name} has no taint", lambda: not self.core.read_node(self.name).spec.taints)

    def leave(self) -> None:
        """Disappear from the cluster."""
        self.core.delete_node(self.name)

    def pods(self, namespace: str) -> list[Any]:
        """The pods that the scheduler has given to this node, oldest first."""
        pods = self.core.list_namespaced_pod(namespace, field_selector=f"spec.nodeName={self.name}").items
        return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp)

    def next_pod(self, namespace: str, timeout_s: float = WAIT_TIMEOUT_S) -> Any:
        """Wait for a scheduled pod that has not been started yet."""

        def look() -> Any | None:
            fresh = [pod for pod in self.pods(namespace) if pod.status.phase == "Pending"]
            return fresh[0] if fresh else None

        return wait_for(f"a pod on {self.name} in {namespace}", look, timeout_s)

    def run(self, pod: Any) -> None:
        """Report a pod's containers as running and ready."""
        self._report(pod, "Running", {"running": {"startedAt": now()}}, ready=True)

    def finish(self, pod: Any, exit_code: int, reason: str | None = None) -> None:
        """Report that a pod's containers ended with an exit code (such as 137 with reason OOMKilled)."""
        reason = reason or ("Completed" if exit_code == 0 else "Error")
        ended = {"exitCode": exit_code, "reason": reason, "startedAt": now(), "finishedAt": now()}
        self._report(pod, "Succeeded" if exit_code == 0 else "Failed", {"terminated": ended}, ready=False)

    def let_go(self, pod: Any) -> None:
        """Finish the deletion of a pod that is being deleted, as a kubelet does once its containers are gone."""
        options = client.V1DeleteOptions(grace_period_seconds=0)
        try:
            self.core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body=options)
        except ApiException as error:
            if error.status != 404:
                raise

    def evict(self, pod: Any) -> None:
        """Evict a pod as a node drain does: it gets the condition DisruptionTarget and is being deleted."""
        name, namespace = pod.metadata.name, pod.metadata.namespace
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        self.core.create_namespaced_pod_eviction(name, namespace, body)

    def _report(self, pod: Any, phase: str, state: Mapping[str, Any], ready: bool) -> None:
        statuses = [
            {
                "name": each.name,
                "image": each.image,
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                "state": state,
            }
            for each in pod.spec.containers
        ]
        conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": now()}]
        status = {"phase": phase, "containerStatuses": statuses, "conditions": conditions, "startTime": now()}
        self.core.patch_namespaced_pod_status(pod.metadata.name, pod.metadata.namespace, {"status": status})

    def _patch_status(self, ready: str) -> None:
        condition = {"type": "Ready", "status": ready, "reason": "Pretended", "lastHeartbeatTime": now()}
        status = {"capacity": self.capacity, "allocatable": self.capacity, "conditions": [condition]}
        self.core.patch_node_status(self.name, {"status": status})


def now() -> str:
    """The time of day as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
