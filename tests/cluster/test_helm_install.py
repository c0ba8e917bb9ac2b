"""The chart on the real node: images built from docker/, the store a real S3 server outside the cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from periscope.client import ServiceClient
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS
from tests.cluster.cluster import Cluster
from tests.cluster.lent_python import forwarded
from tests.cluster.pretend_node import wait_for
from tests.cluster.services_image import TAG, services_image
from tests.kitti_archives import as_tar, sound_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CHART = Path(__file__).resolve().parents[2] / "charts" / "periscope"
APP, TRAININGS, TOKEN = "periscope-app", "periscope-app-trainings", "token-of-the-test"
ABSENT = "sha256:" + "0" * 64
SERVICES = ("dataset", "training", "registry")


@dataclass(frozen=True)
class Installed:
    """The chart, up."""

    cluster: Cluster
    store: S3Store
    values: list[str]

    def service(self, name: str) -> ServiceClient:
        core = client.CoreV1Api(self.cluster.api())
        address = core.read_namespaced_service(f"pool-{name}", APP).spec.cluster_ip
        return ServiceClient(f"http://{address}:8000", TOKEN)

    def training_jobs(self) -> list[Any]:
        return list(client.BatchV1Api(self.cluster.api()).list_namespaced_job(TRAININGS).items)


def image_digest(cluster: Cluster) -> str:
    """The node's image under the name by which the chart asks for it."""
    for line in cluster.node._ctr("images", "ls").stdout.splitlines():
        name, _, digest, *_ = line.split()
        if name.endswith(TAG):
            cluster.node._ctr("images", "tag", name, f"localhost/periscope-services@{digest}")
            return digest
    raise AssertionError("the node does not have the image")


def secret(cluster: Cluster, namespace: str, name: str, values: dict[str, str]) -> None:
    client.CoreV1Api(cluster.api()).create_namespaced_secret(
        namespace, {"metadata": {"name": name}, "stringData": values}
    )


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    cluster.import_image(services_image())
    digest, bucket = image_digest(cluster), "periscope-chart"
    seaweedfs.make_bucket(bucket)
    cluster.plane.make_namespace(APP)
    keys = seaweedfs.environ(bucket)
    own = {"access-key-id": keys["AWS_ACCESS_KEY_ID"], "secret-access-key": keys["AWS_SECRET_ACCESS_KEY"]}
    secret(cluster, APP, "periscope-store", own)
    secret(
        cluster,
        APP,
        "periscope-auth",
        {"admin-token": TOKEN, "service-token": TOKEN, "job-token-secret": "s"},
    )
    with forwarded(cluster.host_address, seaweedfs.identity.s3_port) as port:
        settings = {
            "image.repository": "localhost/periscope-services", "image.digest": digest, "image.pullPolicy": "Never",
            "trainings.namespace": TRAININGS, "trainings.image.digest": ABSENT, "trainings.gpus": 0,
            "trainings.cpu": "100m", "trainings.memory": "512Mi", "trainings.sharedMemory": "64Mi", "trainings.scratch": "1Gi",
            "store.endpoint": f"http://{cluster.host_address}:{port}", "store.bucket": bucket,
            "services.training.replicas": 2, "services.dataset.replicas": 1, "services.registry.replicas": 1,
        }  # fmt: skip
        values = [f"--set={name}={value}" for name, value in settings.items()]
        cluster.helm(
            "install", "pool", str(CHART), "-n", APP, "--wait", "--timeout", "300s", *values, timeout_s=360
        )
        yield Installed(cluster, S3Store(seaweedfs.settings(bucket)), values)
        cluster.kubectl("delete", "namespace", APP, TRAININGS, "--wait=false")


def test_helm_says_that_it_works(installed: Installed) -> None:
    told = installed.cluster.helm("test", "pool", "-n", APP, "--logs", timeout_s=180)

    assert "Succeeded" in told
    for name in SERVICES:
        assert f'{name} {{"status":"ready"}}' in told.replace('": "', '":"')


def test_a_data_set_is_pushed_and_a_job_waits_in_words_for_its_image(
    installed: Installed, tmp_path: Path
) -> None:
    datasets, training = installed.service("dataset"), installed.service("training")
    archive = tmp_path / "sea.tar"
    archive.write_bytes(as_tar(sound_files(train=8, val=4)))
    dataset = datasets.post("/v1/datasets", json={"name": "sea"})
    upload = datasets.upload_file(f"/v1/datasets/{dataset['id']}/uploads", archive)
    begun = datasets.post(f"/v1/datasets/{dataset['id']}/uploads/{upload['upload_id']}:finalize", json={})
    path = f"/v1/datasets/{dataset['id']}/ingests/{begun['id']}?wait=30s"
    assert datasets.get(path)["state"] == "SUCCEEDED"

    job = training.post(
        "/v1/jobs", json={"name": "dive", "dataset": "sea", "input": {"width": 64, "height": 64}}
    )

    def pending() -> Any:
        seen = training.get(f"/v1/jobs/{job['id']}")
        return seen if seen["state"] == "PENDING" and "pulled" in seen["reason"] else None

    wait_for("it waits for its image", pending, 60)
    (made,) = installed.training_jobs()
    assert made.spec.template.spec.automount_service_account_token is False


def test_an_upgrade_disturbs_no_training(installed: Installed) -> None:
    before = [job.metadata.uid for job in installed.training_jobs()]
    installed.cluster.helm(
        "upgrade", "pool", str(CHART), "-n", APP, "--wait", "--timeout", "300s", *installed.values,
        "--set=services.training.env.PERISCOPE_SILENT_AFTER_S=900", timeout_s=360,
    )  # fmt: skip

    assert before
    assert [job.metadata.uid for job in installed.training_jobs()] == before
    (job,) = installed.service("training").get("/v1/jobs")["items"]
    assert job["state"] == "PENDING"


ALLOWED = [
    ("batch", "jobs", "", verb) for verb in ("create", "get", "list", "watch", "patch", "delete")
] + [
    ("", "pods", "", "list"), ("", "pods", "", "watch"), ("", "pods", "log", "get"), ("", "events", "", "list"),
    ("", "services", "", "create"), ("coordination.k8s.io", "leases", "", "update"),
]  # fmt: skip
FORBIDDEN = [
    ("", "secrets", "", "get"), ("", "secrets", "", "list"), ("", "pods", "", "create"), ("", "pods", "exec", "create"),
    ("", "configmaps", "", "get"), ("", "nodes", "", "get"), ("apps", "deployments", "", "get"),
    ("rbac.authorization.k8s.io", "roles", "", "create"),
]  # fmt: skip


def may(cluster: Cluster, account: str, namespace: str, what: tuple[str, str, str, str]) -> bool:
    group, resource, subresource, verb = what
    attributes = {
        "namespace": namespace,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
    }
    body = {"spec": {"user": account, "resourceAttributes": attributes}}
    review = client.AuthorizationV1Api(cluster.api()).create_subject_access_review(body)
    return bool(review.status.allowed)


def test_the_accounts_can_do_what_they_must_and_nothing_more(installed: Installed) -> None:
    cluster, service = installed.cluster, f"system:serviceaccount:{APP}:pool-training"
    for what in ALLOWED:
        assert may(cluster, service, TRAININGS, what), what
        assert not may(cluster, service, APP, what), what
    for what in FORBIDDEN:
        assert not may(cluster, service, TRAININGS, what), what
    for nobody in (f"system:serviceaccount:{TRAININGS}:pool-trainer", f"system:serviceaccount:{APP}:default"):
        assert not any(
            may(cluster, nobody, space, what) for what in ALLOWED + FORBIDDEN for space in (APP, TRAININGS)
        )


def test_an_uninstallation_leaves_data_and_trainings(installed: Installed) -> None:
    jobs = [job.metadata.uid for job in installed.training_jobs()]
    stored = {info.key for info in installed.store.list("versions/")}
    installed.cluster.helm("uninstall", "pool", "-n", APP, "--wait", timeout_s=180)
    time.sleep(1)

    assert jobs
    assert [job.metadata.uid for job in installed.training_jobs()] == jobs
    assert stored
    assert {info.key for info in installed.store.list("versions/")} == stored
