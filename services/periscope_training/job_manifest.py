"""The Kubernetes Job of one attempt, as plain values. No I/O.

The Job is made suspended and under a name that only the attempt decides, so making it twice makes one. Its
annotation ``periscope/spec-sha256`` tells whether a Job of that name is the same one; the progress token is
left out of the hash, as another call gives another token for the same run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from periscope_training.kubernetes_settings import KEY_VARIABLES, KubernetesSettings
from periscope_training.launcher import Launch

Manifest = dict[str, Any]

CONTAINER = "trainer"
MANAGED_BY = "periscope-training"
JOB_LABEL, ATTEMPT_LABEL = "periscope/job", "periscope/attempt"
HASH_ANNOTATION = "periscope/spec-sha256"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
STAY_ANNOTATIONS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
EXIT_CODES_THAT_FAIL = (64, 65, 66, 69, 77, 78)
"""Another attempt cannot mend them; the same as ``lifecycle.FINAL_EXIT_CODES``."""
EXIT_STOPPED = 143
RENDEZVOUS_PORT = 29500
TMP_SIZE = "1Gi"
TOKEN_VARIABLE = "PERISCOPE_PROGRESS_TOKEN"  # noqa: S105 - the variable's name


def job_name(job_id: str, attempt: int) -> str:
    """The Job's name; with an index and a random end it still fits into 63 characters."""
    return f"train-{job_id.lower()}-{attempt}"


def selector(instance: str) -> str:
    """The label selector of all that this installation makes."""
    return f"app.kubernetes.io/managed-by={MANAGED_BY},app.kubernetes.io/instance={instance}"


def labels_of(job_id: str, attempt: int, instance: str) -> dict[str, str]:
    """What the Job and its pods are found by."""
    return {
        "app.kubernetes.io/name": "periscope-trainer",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/instance": instance,
        JOB_LABEL: job_id,
        ATTEMPT_LABEL: str(attempt),
    }


def job_manifest(launch: Launch, settings: KubernetesSettings) -> Manifest:
    """The Job, suspended, with its hash."""
    labels = labels_of(launch.job_id, launch.attempt, settings.instance)
    queue = {} if settings.queue is None else {QUEUE_LABEL: settings.queue}
    manifest: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(launch.job_id, launch.attempt),
            "namespace": settings.namespace,
            "labels": {**labels, **queue},
            "annotations": {},
        },
        "spec": {
            "suspend": True,
            "parallelism": settings.nodes,
            "completions": settings.nodes,
            **({"completionMode": "Indexed"} if settings.nodes > 1 else {}),
            # The service makes the next attempt itself, each with a log and a reason of its own.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules(settings.nodes)},
            "ttlSecondsAfterFinished": settings.ttl_s,
            **_given(activeDeadlineSeconds=settings.max_runtime_s),
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {} if settings.may_be_moved else dict(STAY_ANNOTATIONS),
                },
                "spec": _pod(launch, settings),
            },
        },
    }
    manifest["metadata"]["annotations"][HASH_ANNOTATION] = spec_sha256(manifest)
    return manifest


def spec_sha256(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what the Job is, without the progress token and without the hash itself."""
    plain = json.loads(json.dumps([manifest["metadata"]["labels"], manifest["spec"]]))
    container = plain[1]["template"]["spec"]["containers"][0]
    container["env"] = [entry for entry in container["env"] if entry["name"] != TOKEN_VARIABLE]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def headless_service(launch: Launch, settings: KubernetesSettings, job_uid: str) -> Manifest:
    """The Service by which the pods of one training find the first of them; the Job owns it."""
    name = job_name(launch.job_id, launch.attempt)
    labels = labels_of(launch.job_id, launch.attempt, settings.instance)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            # The first pod must be found before it is ready: being found is how it gets ready.
            "publishNotReadyAddresses": True,
            "selector": {JOB_LABEL: launch.job_id, ATTEMPT_LABEL: str(launch.attempt)},
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
        },
    }


def _failure_rules(nodes: int) -> list[Manifest]:
    """The first that fits counts. A lost rank ends a training on several nodes: the others wait for it."""
    exit_codes = {"containerName": CONTAINER, "operator": "In"}
    disruption = [{"type": "DisruptionTarget", "status": "True"}]
    any_failure = {"containerName": CONTAINER, "operator": "NotIn", "values": [0]}
    if nodes > 1:
        return [
            {"action": "FailJob", "onPodConditions": disruption},
            {"action": "FailJob", "onExitCodes": any_failure},
        ]
    return [
        {"action": "Ignore", "onPodConditions": disruption},
        {"action": "Ignore", "onExitCodes": {**exit_codes, "values": [EXIT_STOPPED]}},
        {"action": "FailJob", "onExitCodes": {**exit_codes, "values": list(EXIT_CODES_THAT_FAIL)}},
        {"action": "Count", "onExitCodes": any_failure},
    ]


def _pod(launch: Launch, settings: KubernetesSettings) -> Manifest:
    secrets = [{"name": name} for name in settings.image_pull_secrets]
    name = job_name(launch.job_id, launch.attempt)
    return {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.stop_grace_s,
        **_given(priorityClassName=settings.priority_class, runtimeClassName=settings.runtime_class),
        **({"subdomain": name} if settings.nodes > 1 else {}),
        **({"imagePullSecrets": secrets} if secrets else {}),
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(toleration) for toleration in settings.tolerations],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user_id,
            "runAsGroup": settings.user_id,
            "fsGroup": settings.user_id,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(launch, settings)],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
            {"name": "work", "emptyDir": {"sizeLimit": settings.scratch}},
            {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
        ],
    }


def _container(launch: Launch, settings: KubernetesSettings) -> Manifest:
    asked = {"cpu": settings.cpu, "memory": settings.memory}
    gpus = {settings.gpu_resource: str(settings.gpus)} if settings.gpus else {}
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(settings.command),
        "args": launch.arguments(),
        "env": _environment(launch, settings),
        # A GPU needs no privilege: its device plugin hands the device in.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": asked, "limits": {"memory": settings.memory, **gpus}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a mount in the pod
            {"name": "work", "mountPath": "/work"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mount in the pod
        ],
    }


def _environment(launch: Launch, settings: KubernetesSettings) -> list[Manifest]:
    plain = {
        **settings.env,
        "HOME": "/tmp",  # noqa: S108 - the only other place that can be written to
        "PERISCOPE_WORK_DIR": "/work",
        "PERISCOPE_STOP_GRACE_S": str(settings.stop_grace_s),
        "PERISCOPE_TRAINER_RANKS": str(max(1, settings.gpus)),
        "PERISCOPE_PROGRESS_URL": launch.progress_url,
        TOKEN_VARIABLE: launch.progress_token,
    }
    if settings.nodes > 1:
        name = job_name(launch.job_id, launch.attempt)
        plain |= {
            "PERISCOPE_TRAINER_NODES": str(settings.nodes),
            "PERISCOPE_FIRST_NODE": f"{name}-0.{name}.{settings.namespace}.svc:{RENDEZVOUS_PORT}",
        }
    keys = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": settings.store_secret, "key": name}}}
        for name in KEY_VARIABLES
    ]
    rank = {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    ranks = [{"name": "PERISCOPE_NODE_RANK", "valueFrom": {"fieldRef": rank}}] if settings.nodes > 1 else []
    return [{"name": name, "value": value} for name, value in sorted(plain.items())] + keys + ranks


def _given(**fields: Any) -> Manifest:
    return {name: value for name, value in fields.items() if value is not None}
