"""A real training as a Job on the real node, on the CPU: evicted in the middle, it ends in the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from detectnet_trainer.job import train
from periscope import keys
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS
from periscope_training import job_document
from periscope_training.cluster_view import WatchedView
from periscope_training.followed_log import FollowedLog
from periscope_training.job_manifest import selector
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.pod_records import PodRecords
from periscope_training.reconcile import LoopSettings, Reconciler
from tests.cluster.cluster import Cluster
from tests.cluster.images import PROBE
from tests.cluster.lent_python import (
    LendingApi,
    forwarded,
    lend,
    lent_command,
    lent_environment,
    take_back,
)
from tests.cluster.pretend_node import wait_for
from tests.unit.detectnet_trainer.small_data import options, store_job

PATIENCE_S = 240
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"


def settings_for(cluster: Cluster, namespace: str, store_environ: dict[str, str]) -> KubernetesSettings:
    repository = "localhost/periscope-trainer"
    small = {"cpu": "100m", "memory": "3Gi", "shared_memory": "64Mi", "scratch": "1Gi", "gpus": 0}
    return KubernetesSettings(
        namespace=namespace,
        image=f"{repository}@{cluster.node.name_by_digest(PROBE, repository)}",
        image_pull_policy="Never",
        store_secret="trainer-store",
        command=tuple(lent_command()),
        env={**lent_environment(), **store_environ},
        user_id=1000,
        stop_grace_s=60,
        **small,  # type: ignore[arg-type]
    )


def add_job(store: S3Store, training: dict[str, Any]) -> str:
    """A job as the service leaves it when it was asked for."""
    job_id = store_job(store, training)
    spec = {
        "name": "blocks",
        "dataset": {"id": job_id, "version": 1},
        "network": {},
        "training": training,
        "request_sha256": "",
    }
    Documents(store).create("jobs", job_document.new_job(spec, "blocks", utc_now()), job_id)
    return job_id


def caffemodel(store: S3Store, job_id: str) -> bytes:
    files = Documents(store).get("checkpoints", job_id).body["epochs"][-1]["files"]
    (name,) = [name for name in files if name.endswith(".caffemodel")]
    return store.get(files[name]["key"]).body


def spoken(log: str) -> list[str]:
    """What the pods themselves wrote."""
    return [line for line in log.splitlines() if not line.startswith("--- ")]


def train_in_two_processes(seaweedfs: SeaweedFS, bucket: str, job_id: str, folder: Path) -> None:
    """An undisturbed training by two ranks of this machine."""
    environ = {**os.environ, **seaweedfs.environ(bucket), "PERISCOPE_TRAINER_RANKS": "2"}
    command = [sys.executable, "-m", "detectnet_trainer", "job", "--job", job_id, "--attempt", "1"]
    work = {"PERISCOPE_WORK_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environ | work, check=True, timeout=PATIENCE_S, capture_output=True)


class RealTraining:
    """One job on the real node, the service's loop, and what a test needs to look at both."""

    def __init__(self, cluster: Cluster, namespace: str, store: S3Store, training: dict[str, Any]) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.store = store
        self.job_id = add_job(store, training)
        self.core = client.CoreV1Api(cluster.api())
        self.documents = Documents(store)
        self.read = b""
        """What somebody reads who follows the job's log from the beginning."""

    @contextmanager
    def running(self, seaweedfs: SeaweedFS, bucket: str, **changes: Any) -> Iterator[RealTraining]:
        """The loop's parts, with changes to the settings; nothing is left behind."""
        keys_of_store = seaweedfs.environ(bucket)
        secret = {name: keys_of_store[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        self.core.create_namespaced_secret(
            self.namespace, {"metadata": {"name": "trainer-store"}, "stringData": secret}
        )
        lend(self.cluster, self.namespace)
        with forwarded(self.cluster.host_address, seaweedfs.identity.s3_port) as port:
            endpoint = {"S3_ENDPOINT": f"http://{self.cluster.host_address}:{port}", "S3_BUCKET": bucket}
            settings = settings_for(self.cluster, self.namespace, endpoint).model_copy(update=changes)
            api = self.cluster.api()
            lending = LendingApi(self.namespace, api)
            view = WatchedView(lending, api, self.namespace, selector(settings.instance))
            launcher = KubernetesLauncher(lending, settings, PodRecords(self.store), utc_now, view)
            self.followed = FollowedLog(self.store, launcher, self.job_id, None, 0)
            loop = LoopSettings(
                1, 1.0, timedelta(days=1), lambda *_: "http://127.0.0.1:9/progress", lambda *_: "token"
            )
            self.reconciler = Reconciler(self.documents, self.store, launcher, loop, utc_now)
            try:
                yield self
            finally:
                launcher.close()
                take_back(self.cluster, self.namespace)

    def until(self, what: str, is_so: Callable[[], Any]) -> Any:
        """Run the loop until something is so."""

        def look() -> Any:
            self.reconciler.reconcile_all()
            job = self.job()
            self.read += b"".join(self.followed.more(job))
            assert job["state"] not in ("FAILED", "CANCELLED"), self.log(len(job["attempts"]))
            return is_so()

        return wait_for(what, look, PATIENCE_S)

    def job(self) -> dict[str, Any]:
        return self.documents.get("jobs", self.job_id).body

    def epochs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.documents.get("checkpoints", self.job_id).body["epochs"]
        return found

    def log(self, attempt: int = 1) -> str:
        return self.store.get(keys.attempt_log(self.job_id, attempt)).body.decode()

    def pods(self) -> list[Any]:
        return list(self.core.list_namespaced_pod(self.namespace).items)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_that_is_evicted_in_the_middle_ends_in_the_same_bytes(
    cluster: Cluster,
    cluster_namespace: str,
    seaweedfs: SeaweedFS,
    s3_bucket: str,
    s3_store: S3Store,
    tmp_path: Path,
) -> None:
    training = options(epochs=12, augmentation={})
    real = RealTraining(cluster, cluster_namespace, s3_store, training)
    with real.running(seaweedfs, s3_bucket):
        real.until("an epoch is committed", real.epochs)
        (pod,) = real.pods()
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.metadata.name}}
        real.core.create_namespaced_pod_eviction(pod.metadata.name, cluster_namespace, eviction)
        real.until("it has ended", lambda: real.job()["ended_at"])
    job, log = real.job(), real.log()
    undisturbed = store_job(s3_store, training)
    assert train(s3_store, undisturbed, 1, {"PERISCOPE_WORK_DIR": str(tmp_path)}) == 0

    assert (job["state"], len(job["attempts"]), job["attempts"][0]["preemptions"]) == ("SUCCEEDED", 1, 1)
    assert "SIGTERM: the checkpoint is saved" in log
    assert "taken away by the cluster" in log
    assert "going on after step" in log
    assert caffemodel(s3_store, real.job_id) == caffemodel(s3_store, undisturbed)
    assert spoken(real.read.decode()) == spoken(log)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_pods_train_together_and_a_lost_one_is_followed_by_an_attempt_of_both(
    cluster: Cluster,
    cluster_namespace: str,
    seaweedfs: SeaweedFS,
    s3_bucket: str,
    s3_store: S3Store,
    tmp_path: Path,
) -> None:
    training = options(epochs=8)
    real = RealTraining(cluster, cluster_namespace, s3_store, training)
    with real.running(seaweedfs, s3_bucket, nodes=2):
        real.until("an epoch is committed", real.epochs)
        pods = {pod.metadata.labels[INDEX_LABEL]: pod.metadata.name for pod in real.pods()}
        assert set(pods) == {"0", "1"}
        second = pods["1"]
        real.core.delete_namespaced_pod(second, cluster_namespace, grace_period_seconds=0)
        real.until("it has ended", lambda: real.job()["ended_at"])
    job = real.job()
    undisturbed = store_job(s3_store, training)
    train_in_two_processes(seaweedfs, s3_bucket, undisturbed, tmp_path)

    assert (job["state"], len(job["attempts"])) == ("SUCCEEDED", 2)
    assert caffemodel(s3_store, real.job_id) == caffemodel(s3_store, undisturbed)
    assert "going on after step" in real.log(2)
    assert [epoch["epoch"] for epoch in real.epochs()] == list(range(1, 9))
    assert real.epochs()[0]["attempt"] == 1
    assert real.epochs()[-1]["attempt"] == 2
