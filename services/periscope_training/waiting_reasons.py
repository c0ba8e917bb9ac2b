"""Why a training waits for its place, in the user's words, with what to do about it. No I/O.

Kubernetes' own text follows in brackets, for whoever runs the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_TEXT = 300
"""Characters of Kubernetes' own words that are passed on."""

IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
IMAGE = (
    "the training image cannot be pulled. An administrator must correct the image, or give the cluster "
    "access to its registry; the job goes on by itself then"
)
NO_GPU = "no GPU is free. The job starts when another ends; ask for fewer GPUs if the cluster has not so many"
NO_SUCH_NODE = (
    "no node fits. Each is kept for others or lacks a label that trainings ask for: "
    "an administrator must correct node_selector or tolerations"
)
NO_MEMORY = "no node has enough memory free. The job starts when another ends; asking for less memory helps"
NO_CPU = "no node has enough processors free. The job starts when another ends; asking for less cpu helps"
NO_DISK = "no node has enough disk free. Asking for less scratch space helps, or freeing disks on the nodes"
NO_NODE = "no node takes it at the moment"
QUOTA = (
    "the namespace's quota is used up. The job starts when another ends; "
    "an administrator can raise the quota, or the job can ask for less"
)
QUEUE = "it waits in the cluster's queue"
CONFIG = "the pod cannot be set up. An administrator must look at the Secret with the store's keys"
REFUSED = "the cluster refuses to make the pod. An administrator must look at the namespace"
BEING_MADE = "the pod is being set up: the image is fetched and the volumes are made"

_SCHEDULER = (
    (re.compile(r"Insufficient \S*gpu", re.I), NO_GPU),
    (re.compile(r"Insufficient memory"), NO_MEMORY),
    (re.compile(r"Insufficient cpu"), NO_CPU),
    (re.compile(r"Insufficient ephemeral-storage"), NO_DISK),
    (re.compile(r"untolerated taint|node affinity|node selector"), NO_SUCH_NODE),
)


CAUSES = {
    IMAGE: "image", NO_GPU: "gpu", NO_SUCH_NODE: "node_labels", NO_MEMORY: "memory", NO_CPU: "cpu",
    NO_DISK: "disk", NO_NODE: "node", QUOTA: "quota", QUEUE: "queue", CONFIG: "secret",
    REFUSED: "refused", BEING_MADE: "being_made",
}  # fmt: skip
"""One word for each, for counting."""
OTHER_CAUSE = "other"


def cause_of(reason: str) -> str:
    """The word for what a PENDING job's reason says; OTHER_CAUSE for a launcher's own words."""
    return next((word for words, word in CAUSES.items() if reason.startswith(words)), OTHER_CAUSE)


def why_pod_waits(reason: str, message: str) -> str:
    """The words for a pod that is not running yet, of Kubernetes' reason and message."""
    if reason in IMAGE_REASONS:
        return _with(IMAGE, message or reason)
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return _with(CONFIG, message or reason)
    if reason == "Unschedulable":
        words = next((words for pattern, words in _SCHEDULER if pattern.search(message)), NO_NODE)
        return _with(words, message)
    return BEING_MADE


def why_no_pod(events: Sequence[Mapping[str, Any]], *, queued: bool) -> str:
    """The words for a Job that has no pod yet, of what was told about the Job."""
    failed = [event for event in events if event.get("reason") == "FailedCreate"]
    if failed:
        message = str(failed[-1].get("message") or "")
        return _with(QUOTA if "exceeded quota" in message else REFUSED, message)
    return QUEUE if queued else BEING_MADE


def _with(words: str, message: str) -> str:
    text = " ".join(message.split())
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "..."
    return f"{words} [{text}]" if text else words
