"""The few calls to Kubernetes that training needs, over the official client, in plain values.

Every answer is the object's JSON as the API has it. An error says what the caller can do: nothing there is
None, a name that is taken is AlreadyThere, what will never be taken is Refused, and anything else may
succeed later and is LauncherUnavailable.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from periscope_training.launcher import LauncherUnavailable, RunRefused

TIMEOUT_S = (5, 30)
"""To connect, and between two bytes of an answer."""
LOG_LINES = 20_000

Object = dict[str, Any]


@dataclass(frozen=True)
class LogLine:
    """A line that a container wrote."""

    at: str
    """When, by the node's clock; as text the later is the greater."""
    text: bytes
    """With its line feed; without one it may not be whole yet."""


class AlreadyThere(Exception):
    """Something of that name exists."""


class Cluster(Protocol):
    """One namespace of a cluster. Every method may raise LauncherUnavailable."""

    def create_job(self, manifest: Mapping[str, Any]) -> Object:
        """Make a Job. Raises AlreadyThere, RunRefused."""

    def create_service(self, manifest: Mapping[str, Any]) -> None:
        """Make a Service. Raises AlreadyThere, RunRefused."""

    def job(self, name: str) -> Object | None:
        """A Job, or None."""

    def jobs(self, selector: str) -> Sequence[Object]:
        """The Jobs with these labels."""

    def pods(self, selector: str) -> Sequence[Object]:
        """The pods with these labels."""

    def release_job(self, name: str, uid: str) -> None:
        """End a Job's suspension; no effect when it is gone or another."""

    def delete_job(self, name: str, uid: str, propagation: str) -> None:
        """Delete a Job; no effect when it is gone or another. ``propagation`` is Foreground or Background."""

    def log(self, pod: str, container: str) -> bytes:
        """The end of what a pod has written; empty when there is none, or its node does not tell."""

    def log_lines(self, pod: str, container: str, since_s: int | None) -> Sequence[LogLine] | None:
        """The lines of the last ``since_s`` seconds, or the end of all; None when its node does not tell."""

    def events(self, kind: str, name: str) -> Sequence[Object]:
        """What was told about an object."""


def connect() -> client.ApiClient:
    """Connect as the pod's service account, or as the kubeconfig file says."""
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_kube_config()  # type: ignore[no-untyped-call]
    return client.ApiClient()


class KubernetesApi:
    """See :class:`Cluster`."""

    def __init__(self, namespace: str, api: client.ApiClient) -> None:
        self._namespace = namespace
        self._api = api
        self._batch = client.BatchV1Api(api)
        self._core = client.CoreV1Api(api)
        self._coordination = client.CoordinationV1Api(api)

    def create_job(self, manifest: Mapping[str, Any]) -> Object:
        """See Cluster."""
        return self._call(self._batch.create_namespaced_job, self._namespace, dict(manifest), **STRICT)

    def create_service(self, manifest: Mapping[str, Any]) -> None:
        """See Cluster."""
        self._call(self._core.create_namespaced_service, self._namespace, dict(manifest), **STRICT)

    def job(self, name: str) -> Object | None:
        """See Cluster."""
        return self._find(self._batch.read_namespaced_job, name, self._namespace)

    def jobs(self, selector: str) -> Sequence[Object]:
        """See Cluster."""
        return self._list(self._batch.list_namespaced_job, label_selector=selector)

    def pods(self, selector: str) -> Sequence[Object]:
        """See Cluster."""
        return self._list(self._core.list_namespaced_pod, label_selector=selector)

    def release_job(self, name: str, uid: str) -> None:
        """See Cluster."""
        change = {"metadata": {"uid": uid}, "spec": {"suspend": False}}
        try:
            self._call(self._batch.patch_namespaced_job, name, self._namespace, change)
        except (Missing, AlreadyThere):
            return

    def delete_job(self, name: str, uid: str, propagation: str) -> None:
        """See Cluster."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        try:
            self._call(self._batch.delete_namespaced_job, name, self._namespace, body=options)
        except (Missing, AlreadyThere):
            return

    def log(self, pod: str, container: str) -> bytes:
        """See Cluster."""
        return self._log(pod, container) or b""

    def log_lines(self, pod: str, container: str, since_s: int | None) -> Sequence[LogLine] | None:
        """See Cluster."""
        since = {} if since_s is None else {"since_seconds": since_s}
        text = self._log(pod, container, timestamps=True, **since)
        if text is None:
            return None
        parts = (line.partition(b" ") for line in io.BytesIO(text))
        return [LogLine(at.decode("ascii", "replace"), line) for at, _, line in parts]

    def _log(self, pod: str, container: str, **which: Any) -> bytes | None:
        options = {"container": container, "tail_lines": LOG_LINES, "_request_timeout": TIMEOUT_S, **which}
        try:
            text = self._core.read_namespaced_pod_log(pod, self._namespace, **options)
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            # Not started yet, gone, or on a node that is: what is decided next must not hang on a log.
            return None
        # A kubelet that has removed the container answers 200 and this.
        gone = str(text).startswith("unable to retrieve container logs for")
        return None if gone else str(text or "").encode()

    def events(self, kind: str, name: str) -> Sequence[Object]:
        """See Cluster."""
        about = f"involvedObject.kind={kind},involvedObject.name={name}"
        return self._list(self._core.list_namespaced_event, field_selector=about)

    def lease(self, name: str) -> Object | None:
        """See kubernetes_lease.Leases."""
        return self._find(self._coordination.read_namespaced_lease, name, self._namespace)

    def create_lease(self, manifest: Mapping[str, Any]) -> Object:
        """See kubernetes_lease.Leases."""
        return self._call(self._coordination.create_namespaced_lease, self._namespace, dict(manifest))

    def replace_lease(self, name: str, manifest: Mapping[str, Any]) -> Object:
        """See kubernetes_lease.Leases."""
        replace = self._coordination.replace_namespaced_lease
        return self._call(replace, name, self._namespace, dict(manifest))

    def _find(self, read: Callable[..., Any], *arguments: Any) -> Object | None:
        try:
            return self._call(read, *arguments)
        except Missing:
            return None

    def _list(self, read: Callable[..., Any], **selectors: str) -> Sequence[Object]:
        found: list[Object] = self._call(read, self._namespace, **selectors).get("items") or []
        return found

    def _call(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Object:
        found = self._raw(call, *arguments, **options)
        answer: Object = self._api.sanitize_for_serialization(found)  # type: ignore[no-untyped-call]
        return answer

    def _raw(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        started = time.monotonic()
        try:
            return call(*arguments, _request_timeout=TIMEOUT_S, **options)
        except ApiException as error:
            raise translated(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            waited = time.monotonic() - started
            raise LauncherUnavailable(f"Kubernetes gave no answer within {waited:.0f} s: {error}") from error


STRICT = {"field_validation": "Strict"}
"""A field that the server does not know is an error: it would be dropped in silence."""


class Missing(Exception):
    """There is no such object."""


def translated(error: ApiException) -> Exception:
    """What an answer of the API means to us."""
    text = _message(error)
    if error.status == 404:
        return Missing(text)
    if error.status == 409:
        return AlreadyThere(text)
    if error.status in (400, 422) or (error.status == 403 and "violates PodSecurity" in text):
        return RunRefused(f"Kubernetes refuses it: {text}")
    return LauncherUnavailable(f"Kubernetes answers {error.status}: {text}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or error.body or "")
