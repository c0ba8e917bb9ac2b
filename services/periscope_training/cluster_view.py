"""What is going on in the cluster, without asking anew for each run.

A watched view keeps up with Jobs and pods by two watches (an informer each), so that a look at fifty runs
costs no request. It lists anew every five minutes, when a watch has expired (410), and after an outage. While
it does not know how things are, it says so: old news is never taken for how things stand. A pod that has
left is remembered as it was last seen, since that is where its exit code is.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kubernetes import client
from kubernetes.informer import ADDED, DELETED, ERROR, MODIFIED, SharedInformer

from periscope_training.kubernetes_api import Cluster, Object
from periscope_training.launcher import LauncherUnavailable

RESYNC_S = 300
SILENCE_S = 150
"""Bookmarks come about every minute; a watch that says nothing for longer is dead."""
FIRST_WAIT_S = 10.0
ERROR_WAIT_S = 1.0
MAX_DEPARTED = 2000


class View(Protocol):
    """What a launcher looks at. Every method may raise LauncherUnavailable."""

    def job(self, name: str) -> Object | None:
        """A Job, or None."""

    def pods(self, labels: Mapping[str, str]) -> Sequence[Object]:
        """The pods with these labels."""

    def departed(self, labels: Mapping[str, str]) -> Sequence[Object]:
        """Pods with these labels that have left, as they were last seen; as far as is known."""

    def close(self) -> None:
        """Stop watching."""


class LiveView:
    """Asks each time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def job(self, name: str) -> Object | None:
        """See View."""
        return self._cluster.job(name)

    def pods(self, labels: Mapping[str, str]) -> Sequence[Object]:
        """See View."""
        return self._cluster.pods(",".join(f"{name}={value}" for name, value in labels.items()))

    def departed(self, labels: Mapping[str, str]) -> Sequence[Object]:  # noqa: ARG002
        """None: who only looks now and then sees nobody leave."""
        return ()

    def close(self) -> None:
        """Nothing to stop."""


class WatchedView:
    """See the module's text. The watches begin with the first look."""

    def __init__(self, cluster: Cluster, api: client.ApiClient, namespace: str, selector: str) -> None:
        self._cluster = cluster
        self._jobs = _Watched(api, client.BatchV1Api(api).list_namespaced_job, namespace, selector)
        self._pods = _Watched(api, client.CoreV1Api(api).list_namespaced_pod, namespace, selector)

    def job(self, name: str) -> Object | None:
        """See View; one that is not known (yet) is asked for."""
        return self._jobs.objects().get(name) or self._cluster.job(name)

    def pods(self, labels: Mapping[str, str]) -> Sequence[Object]:
        """See View."""
        return [pod for pod in self._pods.objects().values() if _has(pod, labels)]

    def departed(self, labels: Mapping[str, str]) -> Sequence[Object]:
        """See View."""
        return [pod for pod in self._pods.departed() if _has(pod, labels)]

    def close(self) -> None:
        """See View."""
        self._jobs.close()
        self._pods.close()


class _Watched:
    """The objects of one kind, by name."""

    def __init__(
        self, api: client.ApiClient, list_objects: Callable[..., Any], namespace: str, selector: str
    ) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._departed: dict[str, Object] = {}
        self._listed, self._over = threading.Event(), threading.Event()
        self._trouble = ""
        self._started = False
        watching = self._watching(list_objects)
        make_informer: Callable[..., Any] = SharedInformer
        self._informer = make_informer(watching, namespace, resync_period=RESYNC_S, label_selector=selector)
        for kind, handler in ((ADDED, self._put), (MODIFIED, self._put), (DELETED, self._remove)):
            self._informer.add_event_handler(kind, handler)
        self._informer.add_event_handler(ERROR, self._pause)

    def objects(self) -> dict[str, Object]:
        """How things stand. Raises LauncherUnavailable."""
        if not self._started:
            self._started = True
            self._informer.start()
        if not self._listed.wait(FIRST_WAIT_S) or self._trouble:
            raise LauncherUnavailable(f"Kubernetes does not tell: {self._trouble or 'no answer yet'}")
        with self._lock:
            return dict(self._objects)

    def departed(self) -> list[Object]:
        """What has left."""
        with self._lock:
            return list(self._departed.values())

    def close(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._started:
            self._informer.stop()

    def _watching(self, list_objects: Callable[..., Any]) -> Callable[..., Any]:
        """The list call with time-outs; the informer calls it to list and to watch."""

        @functools.wraps(list_objects)
        def call(*arguments: Any, **options: Any) -> Any:
            if options.get("watch"):
                options |= {"allow_watch_bookmarks": True, "_request_timeout": (5, SILENCE_S)}
                answer = list_objects(*arguments, **options)
                self._trouble = ""
                return answer
            answer = list_objects(*arguments, **options, _request_timeout=(5, 60))
            self._trouble = ""
            with self._lock:
                # The informer tells what is new only after this; what is known meanwhile is the list itself.
                self._objects = {each["metadata"]["name"]: each for each in map(self._plain, answer.items)}
            self._listed.set()
            return answer

        return call

    def _plain(self, found: Any) -> Object:
        plain: Object = self._api.sanitize_for_serialization(found)  # type: ignore[no-untyped-call]
        return plain

    def _put(self, found: Any) -> None:
        plain = self._plain(found)
        with self._lock:
            self._objects[plain["metadata"]["name"]] = plain

    def _remove(self, found: Any) -> None:
        plain = self._plain(found)
        with self._lock:
            self._objects.pop(plain["metadata"]["name"], None)
            self._departed[plain["metadata"]["uid"]] = plain
            while len(self._departed) > MAX_DEPARTED:
                del self._departed[next(iter(self._departed))]

    def _pause(self, error: Any) -> None:
        """Called in the informer's thread after an error: it would try again at once, and again."""
        if getattr(error, "status", None) == 410:
            return
        self._trouble = f"{type(error).__name__}: {error}"[:200]
        self._over.wait(ERROR_WAIT_S)


def _has(found: Object, labels: Mapping[str, str]) -> bool:
    return labels.items() <= (found["metadata"].get("labels") or {}).items()
