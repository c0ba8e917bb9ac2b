"""The chart, installed on the real node as its guide says: the store a MinIO that the bootstrap Job makes ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from periscope.client import ServiceClient
from periscope.s3 import S3Store
from tests.cluster.cluster import Cluster
from tests.cluster.images import PROBE
from tests.cluster.lent_python import lend, lend_to_all_jobs, lent_environment, take_back
from tests.cluster.minio_server import MinioServer
from tests.cluster.project_images import TAG, services_image

CHART = Path(__file__).resolve().parents[2] / "charts" / "periscope"
APP, TRAININGS, TOKEN, BUCKET = (
    "periscope-app",
    "periscope-app-trainings",
    "token-of-the-test",
    "chart-bucket",
)
SERVICES_KEY = {"access-key-id": "services-of-chart", "secret-access-key": "secret-of-services"}
TRAINER_KEY = {"AWS_ACCESS_KEY_ID": "trainer-of-chart", "AWS_SECRET_ACCESS_KEY": "secret-of-trainer"}
HELM_TIMEOUT_S = 360


@dataclass(frozen=True)
class Release:
    """The chart, up."""

    cluster: Cluster
    minio: MinioServer
    values: Path

    @property
    def store(self) -> S3Store:
        """The bucket, past the services."""
        return S3Store(self.minio.admin)

    def service(self, name: str) -> ServiceClient:
        """A client of one service at its address inside the cluster, as an administrator."""
        core = client.CoreV1Api(self.cluster.api())
        address = core.read_namespaced_service(f"pool-{name}", APP).spec.cluster_ip
        return ServiceClient(f"http://{address}:8000", TOKEN)

    def helm(self, command: str, *arguments: str) -> str:
        """Install or upgrade, and wait."""
        return self.cluster.helm(
            command, "pool", str(CHART), "-n", APP, "--wait", "--timeout", "300s",
            "--values", str(self.values), *arguments, timeout_s=HELM_TIMEOUT_S,
        )  # fmt: skip

    def jobs(self, namespace: str) -> list[Any]:
        """The Jobs of a namespace."""
        return list(client.BatchV1Api(self.cluster.api()).list_namespaced_job(namespace).items)

    def training_pods(self) -> dict[str, Any]:
        """Pods of trainings, by the name of their Job."""
        found = client.CoreV1Api(self.cluster.api()).list_namespaced_pod(TRAININGS).items
        return {pod.metadata.labels["batch.kubernetes.io/job-name"]: pod for pod in found}


@contextmanager
def installed(cluster: Cluster, minio: MinioServer, folder: Path) -> Iterator[Release]:
    """Images, Secrets, the chart; nothing is left behind."""
    cluster.import_image(services_image())
    cluster.plane.make_namespace(APP)
    _make_secrets(cluster, minio)
    release = Release(cluster, minio, folder / "values.json")
    release.values.write_text(json.dumps(_values(cluster, minio)))
    try:
        release.helm("install")
        _make_secret(cluster, TRAININGS, "trainer-store", TRAINER_KEY)
        lend(cluster, TRAININGS)
        lend_to_all_jobs(cluster, TRAININGS)
        yield release
    finally:
        cluster.kubectl("delete", "namespace", APP, TRAININGS, "--wait=false", "--ignore-not-found")
        take_back(cluster, TRAININGS)


def _values(cluster: Cluster, minio: MinioServer) -> dict[str, Any]:
    return {
        "image": {**_by_digest(cluster, TAG, "localhost/periscope-services"), "pullPolicy": "Never"},
        "trainings": {
            "image": _by_digest(cluster, PROBE, "localhost/periscope-trainer"),
            "namespace": TRAININGS, "gpus": 0, "cpu": "100m", "memory": "3Gi",
            "sharedMemory": "64Mi", "scratch": "1Gi", "env": lent_environment(),
        },
        "store": {"endpoint": minio.admin.endpoint, "bucket": minio.admin.bucket},
        "bootstrap": {"enabled": True, "users": "minio"},
        "services": {name: {"replicas": 2 if name == "training" else 1} for name in ("dataset", "training", "registry")},
    }  # fmt: skip


def _make_secrets(cluster: Cluster, minio: MinioServer) -> None:
    admin = {
        "access-key-id": minio.admin.access_key_id,
        "secret-access-key": minio.admin.secret_access_key,
        "trainer-access-key-id": TRAINER_KEY["AWS_ACCESS_KEY_ID"],
        "trainer-secret-access-key": TRAINER_KEY["AWS_SECRET_ACCESS_KEY"],
    }
    auth = {"admin-token": TOKEN, "service-token": TOKEN, "job-token-secret": "s"}
    _make_secret(cluster, APP, "periscope-store-admin", admin)
    _make_secret(cluster, APP, "periscope-store", SERVICES_KEY)
    _make_secret(cluster, APP, "periscope-auth", auth)


def _make_secret(cluster: Cluster, namespace: str, name: str, values: dict[str, str]) -> None:
    client.CoreV1Api(cluster.api()).create_namespaced_secret(
        namespace, {"metadata": {"name": name}, "stringData": values}
    )


def _by_digest(cluster: Cluster, tag: str, repository: str) -> dict[str, str]:
    """The node's image under the name by which the chart asks for it."""
    return {"repository": repository, "digest": cluster.node.name_by_digest(tag, repository)}
