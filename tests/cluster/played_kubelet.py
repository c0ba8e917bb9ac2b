"""Plays the kubelet of a pretended node in a thread: pods run, end and are let go as a test's program would."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

from kubernetes import client

from periscope_training.kubernetes_api import KubernetesApi, LogLine
from periscope_training.kubernetes_settings import KubernetesSettings
from tests.cluster.control_plane import ControlPlane
from tests.cluster.pretend_node import PretendNode

IMAGE = "localhost/trainer@sha256:" + "0" * 64
STEP_S = 0.05
SEEN_FOR_S = 0.3
"""How long an ended pod that is being deleted still shows how it ended."""


def settings_for(namespace: str, **values: Any) -> KubernetesSettings:
    """Settings of a training on the pretended node: no GPU, little of everything."""
    small = {"cpu": "100m", "memory": "64Mi", "shared_memory": "16Mi", "scratch": "64Mi", "gpus": 0}
    given = {"namespace": namespace, "image": IMAGE, "store_secret": "trainer-store", "stop_grace_s": 5}
    return KubernetesSettings.model_validate({**given, **small, **values})


class TellingApi(KubernetesApi):
    """The real API, but for logs: a pretended node cannot be asked for them."""

    def __init__(self, plane: ControlPlane, namespace: str, logs: dict[str, bytes]) -> None:
        super().__init__(namespace, plane.api())
        self.logs = logs

    def log(self, pod: str, container: str) -> bytes:
        return self.logs.get(pod, b"")

    def log_lines(self, pod: str, container: str, since_s: int | None) -> list[LogLine] | None:
        """All lines, whenever they were written; a line's time is its number."""
        lines = io.BytesIO(self.logs.get(pod, b""))
        return [LogLine(f"{number:09d}", line) for number, line in enumerate(lines)] or None


class PlayedKubelet:
    """Runs the pods of one namespace, all behaving alike; see ``tests.launcher_contract``."""

    def __init__(self, node: PretendNode, namespace: str, behaviour: str) -> None:
        self.logs: dict[str, bytes] = {}
        self._node = node
        self._namespace = namespace
        self._behaviour = behaviour
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="kubelet", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    def _play(self) -> None:
        while not self._over.wait(STEP_S):
            for pod in self._node.pods(self._namespace):
                try:
                    self._attend(pod)
                except client.ApiException as error:
                    if error.status not in (404, 409):
                        raise

    def _attend(self, pod: Any) -> None:
        name = pod.metadata.name
        if pod.metadata.deletion_timestamp is not None:
            self._end(pod)
        elif pod.status.phase == "Pending":
            self._node.run(pod)
            self.logs[name] = b"running\n"
        elif pod.status.phase == "Running" and self._behaviour in ("succeed", "fail"):
            self.logs[name] += b"a word before the end\n"
            self._node.finish(pod, 0 if self._behaviour == "succeed" else 65)

    def _end(self, pod: Any) -> None:
        if pod.status.phase == "Running":
            if self._behaviour == "stubborn":
                time.sleep(0.5)
            self._node.finish(pod, 137 if self._behaviour == "stubborn" else 143)
            time.sleep(SEEN_FOR_S)
        self._node.let_go(pod)
