"""A real training as a Job on the real node, on the CPU: evicted in the middle, it ends in the same bytes."""

from __future__ import annotations

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
from periscope_training.job_manifest import selector
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.pod_records import PodRecords
from periscope_training.reconcile import LoopSettings, Reconciler
from tests.cluster.cluster import Cluster
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


def settings_for(cluster: Cluster, namespace: str, store_environ: dict[str, str]) -> KubernetesSettings:
    small = {"cpu": "100m", "memory": "3Gi", "shared_memory": "64Mi", "scratch": "1Gi", "gpus": 0}
    return KubernetesSettings(
        namespace=namespace,
        image=image_id(cluster),
        image_pull_policy="Never",
        store_secret="trainer-store",
        command=tuple(lent_command()),
        env={**lent_environment(), **store_environ},
        user_id=1000,
        stop_grace_s=60,
        **small,  # type: ignore[arg-type]
    )


def image_id(cluster: Cluster) -> str:
    """The node's one image, by digest: an image that was imported has no other digest."""
    names = cluster.node._ctr("images", "ls", "-q").stdout.split()
    return next(name for name in names if name.startswith("sha256:"))


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
    job_id = add_job(s3_store, training)
    core, documents = client.CoreV1Api(cluster.api()), Documents(s3_store)
    keys_of_store = seaweedfs.environ(s3_bucket)
    secret = {name: keys_of_store[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    core.create_namespaced_secret(
        cluster_namespace, {"metadata": {"name": "trainer-store"}, "stringData": secret}
    )
    lend(cluster, cluster_namespace)
    with forwarded(cluster.host_address, seaweedfs.identity.s3_port) as port:
        endpoint = {"S3_ENDPOINT": f"http://{cluster.host_address}:{port}", "S3_BUCKET": s3_bucket}
        settings = settings_for(cluster, cluster_namespace, endpoint)
        api = cluster.api()
        lending = LendingApi(cluster_namespace, api)
        view = WatchedView(lending, api, cluster_namespace, selector(settings.instance))
        launcher = KubernetesLauncher(lending, settings, PodRecords(s3_store), utc_now, view)
        loop = LoopSettings(
            1, 1.0, timedelta(days=1), lambda *_: "http://127.0.0.1:9/progress", lambda *_: "token"
        )
        reconciler = Reconciler(documents, s3_store, launcher, loop, utc_now)

        def read_log() -> str:
            return s3_store.get(keys.attempt_log(job_id, 1)).body.decode()

        def until(what: str, is_so: Any) -> Any:
            def look() -> Any:
                reconciler.reconcile_all()
                job = documents.get("jobs", job_id).body
                assert job["state"] not in ("FAILED", "CANCELLED"), read_log()
                return is_so()

            return wait_for(what, look, PATIENCE_S)

        try:
            until("an epoch is committed", lambda: documents.get("checkpoints", job_id).body["epochs"])
            (pod,) = core.list_namespaced_pod(cluster_namespace).items
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": pod.metadata.name},
            }
            core.create_namespaced_pod_eviction(pod.metadata.name, cluster_namespace, eviction)
            until("it has ended", lambda: documents.get("jobs", job_id).body["ended_at"])
        finally:
            launcher.close()
            take_back(cluster, cluster_namespace)
    job = documents.get("jobs", job_id).body
    log = read_log()
    undisturbed = store_job(s3_store, training)
    assert train(s3_store, undisturbed, 1, {"PERISCOPE_WORK_DIR": str(tmp_path)}) == 0

    assert (job["state"], len(job["attempts"]), job["attempts"][0]["preemptions"]) == ("SUCCEEDED", 1, 1)
    assert "SIGTERM: the checkpoint is saved" in log
    assert "taken away by the cluster" in log
    assert "going on after step" in log
    assert caffemodel(s3_store, job_id) == caffemodel(s3_store, undisturbed)
