"""Lends this machine's Python, with PyTorch, to pods of the real node, as read-only volumes.

An image with PyTorch would take gigabytes and minutes. Instead, volumes of the cluster show folders of this
machine in the pod, and links in the image lead to the libraries among them, so that this Python is a program
like any other and can start others. Everything else of the pod is what the launcher made of it.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubernetes import client

from periscope_training.kubernetes_api import KubernetesApi, Object
from tests.cluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]


def lent_folders() -> dict[str, str]:
    """What is lent, by volume name; each alone, as the folders above it may be closed to other users."""
    (packages,) = [path for path in sys.path if path.endswith("site-packages")][:1]
    return {"machine": "/", "python": sys.base_prefix, "packages": packages, "source": str(ROOT)}


def lent_command() -> list[str]:
    """The training program, by this machine's Python."""
    python = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    return [f"/python/{python}", "-m", "detectnet_trainer"]


def lent_environment() -> dict[str, str]:
    """What this Python needs to find itself elsewhere."""
    return {
        "LD_LIBRARY_PATH": "/python/lib:/usr/local/lib",
        "PYTHONHOME": "/python",
        "PYTHONPATH": "/source/shared:/source/services:/packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "USER": "trainer",
    }


def lend(cluster: Cluster, namespace: str) -> None:
    """Make the volumes and the namespace's claims on them."""
    core = client.CoreV1Api(cluster.api())
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    for claim, path in lent_folders().items():
        name = f"{claim}-{namespace}"
        volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": path}, **common}
        core.create_persistent_volume({"metadata": {"name": name}, "spec": volume})
        wish = {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}, **common}
        body = {"metadata": {"name": claim}, "spec": wish}
        core.create_namespaced_persistent_volume_claim(namespace, body)


def take_back(cluster: Cluster, namespace: str) -> None:
    """Remove the volumes; what they show stays as it is."""
    core = client.CoreV1Api(cluster.api())
    for claim in lent_folders():
        core.delete_persistent_volume(f"{claim}-{namespace}")


class LendingApi(KubernetesApi):
    """The real API; Jobs get the volumes."""

    def create_job(self, manifest: Mapping[str, Any]) -> Object:
        pod = manifest["spec"]["template"]["spec"]
        for name in lent_folders():
            volume = {"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": True}}
            mount = {"name": name, "mountPath": f"/{name}", "readOnly": True}
            pod["volumes"].append(volume)
            pod["containers"][0]["volumeMounts"].append(mount)
        return super().create_job(manifest)


def lend_to_all_jobs(cluster: Cluster, namespace: str) -> None:
    """Let the API server itself add the volumes to every Job of a namespace, whoever makes it.

    For a deployed service, whose API cannot be replaced by a LendingApi.
    """
    spec = "Object.spec.template.spec"
    volumes, mounts = [], []
    for name in lent_folders():
        claim = f'{spec}.volumes.persistentVolumeClaim{{claimName: "{name}", readOnly: true}}'
        volumes.append(f'{spec}.volumes{{name: "{name}", persistentVolumeClaim: {claim}}}')
        mount = f'{{mountPath: "/{name}", name: "{name}", readOnly: true}}'
        mounts.append(f"{spec}.containers.volumeMounts{mount}")
    container = f'{spec}.containers{{name: "trainer", volumeMounts: [{", ".join(mounts)}]}}'
    pod = f"{spec}{{volumes: [{', '.join(volumes)}], containers: [{container}]}}"
    change = f"Object{{spec: Object.spec{{template: Object.spec.template{{spec: {pod}}}}}}}"
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    group, name = "admissionregistration.k8s.io", f"lend-{namespace}"
    api = client.CustomObjectsApi(cluster.api())
    policy = {
        "apiVersion": f"{group}/v1beta1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": change}}],
        },
    }  # fmt: skip
    binding = {
        "apiVersion": f"{group}/v1beta1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    }  # fmt: skip
    api.create_cluster_custom_object(group, "v1beta1", "mutatingadmissionpolicies", policy)
    api.create_cluster_custom_object(group, "v1beta1", "mutatingadmissionpolicybindings", binding)


@contextmanager
def forwarded(address: str, port: int) -> Iterator[int]:
    """Let pods reach a server on this machine's loopback interface; yields the port at ``address``."""
    with socket.create_server((address, 0)) as server:
        thread = threading.Thread(target=_accept, args=(server, port), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _accept(server: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            ours, _ = server.accept()
            theirs = socket.create_connection(("127.0.0.1", port))
            for pair in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    if source.fileno() != -1 and sink.fileno() != -1:
        _close_once(source, sink)


_closing = threading.Lock()


def _close_once(*ends: socket.socket) -> None:
    with _closing:
        for end in ends:
            end.close()
