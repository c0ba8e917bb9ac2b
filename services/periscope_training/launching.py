"""How trainings are started here: the launcher, what the loop needs to know, and what there is to run on."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from periscope import job_tokens
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.lease import Lease
from periscope.store import ObjectStore
from periscope.wire.job_options import GpuList
from periscope.wire.jobs import JobRequest
from periscope_training.actions import State
from periscope_training.cluster_view import WatchedView
from periscope_training.gpus import local_gpus, why_not
from periscope_training.job_document import KIND
from periscope_training.job_manifest import job_manifest, selector
from periscope_training.kubernetes_api import KubernetesApi, connect
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.kubernetes_lease import KubernetesLease
from periscope_training.kubernetes_settings import exceeding, narrowed
from periscope_training.launcher import Launch, Launcher
from periscope_training.leadership import Renewable
from periscope_training.pod_records import PodRecords
from periscope_training.process_launcher import ProcessLauncher
from periscope_training.reconcile import LoopSettings
from periscope_training.rules import UnusableRequest
from periscope_training.settings import Settings

LEASE = "training"
JOB_TOKEN_LIFETIME = timedelta(days=30)
"""Longer than any job; the token also ends with its attempt."""


def create_launcher(
    settings: Settings, store: ObjectStore, environ: Mapping[str, str]
) -> tuple[Launcher, Renewable]:
    """Processes of this machine, or Jobs of a cluster, as the settings say; and who may lead there.

    A Lease of the cluster decides on a cluster, else a document in the store.
    """
    kubernetes, holder = settings.kubernetes, secrets.token_hex(8)
    if kubernetes is None:
        launcher = ProcessLauncher(
            settings.work_dir,
            settings.trainer_command,
            settings.stop_grace_s,
            environ,
            {gpu.index: gpu.uuid for gpu in local_gpus()},
        )
        return launcher, Lease(Documents(store), LEASE, holder, settings.lease_ttl_s)
    api = connect()
    cluster = KubernetesApi(kubernetes.namespace, api)
    view = WatchedView(cluster, api, kubernetes.namespace, selector(kubernetes.instance))
    lease = KubernetesLease(cluster, f"{kubernetes.instance}-{LEASE}", holder, settings.lease_ttl_s)
    return KubernetesLauncher(cluster, kubernetes, PodRecords(store), utc_now, view), lease


def loop_settings(settings: Settings) -> LoopSettings:
    """The settings as the reconciling loop knows them."""
    return LoopSettings(
        max_concurrent_jobs=settings.max_concurrent_jobs,
        max_interruptions=settings.max_interruptions,
        pending_deadline_s=settings.pending_deadline_s,
        gpus_of=lambda resources: gpus_of(settings, resources),
        retry_backoff_s=settings.retry_backoff_s,
        job_token_lifetime=JOB_TOKEN_LIFETIME,
        progress_url=lambda job, attempt: f"{settings.own_url}/v1/jobs/{job}/attempts/{attempt}/progress",
        job_token=lambda job, attempt, until: job_tokens.issue(
            settings.job_token_secret, job, attempt, until
        ),
    )


def require_allowed(settings: Settings, resources: Mapping[str, Any]) -> None:
    """Refuse a job that asks for what the cluster's settings, or this machine, cannot give.

    Raises UnusableRequest.
    """
    if settings.kubernetes is None:
        asks = not {"gpus", "gpu_indices"}.isdisjoint(resources)
        refused = why_not(resources, [gpu.index for gpu in local_gpus()]) if asks else None
        if refused is not None:
            raise UnusableRequest(f"/resources/{refused[0]}", refused[1])
        return
    if "gpu_indices" in resources:
        raise UnusableRequest("/resources/gpu_indices", "The cluster chooses GPUs; say how many, by gpus.")
    for field, sentence in exceeding(settings.kubernetes, resources):
        raise UnusableRequest(f"/resources/{field}", f"{sentence} Ask for less, or leave it out.")


def manifest_of(settings: Settings, request: JobRequest) -> dict[str, Any] | None:
    """The Kubernetes Job that a request would lead to; None where jobs are processes."""
    if settings.kubernetes is None:
        return None
    wish = {} if request.resources is None else request.resources.model_dump(exclude_none=True)
    launch = Launch("0" * 26, 1, settings.own_url, "", wish)
    return job_manifest(launch, narrowed(settings.kubernetes, wish))


def gpus_of(settings: Settings, resources: Mapping[str, Any]) -> int:
    """GPUs that an attempt holds, over all its nodes."""
    if settings.kubernetes is None:
        return len(resources.get("gpu_indices") or ()) or int(resources.get("gpus", 1))
    chosen = narrowed(settings.kubernetes, resources)
    return chosen.gpus * chosen.nodes


def gpu_list(settings: Settings, documents: Documents) -> GpuList:
    """Where jobs run, and how many do now."""
    running = len(documents.matching(KIND, lambda job: job["state"] == State.RUNNING))
    on_cluster = settings.kubernetes is not None
    gpus = [] if on_cluster else local_gpus()
    return GpuList(
        launcher="kubernetes" if on_cluster else "process",
        max_concurrent_jobs=settings.max_concurrent_jobs,
        running=running,
        gpus_per_job=gpus_of(settings, {}) if on_cluster else min(1, len(gpus)),
        gpus=gpus,
    )
