"""Where each object lives in the bucket; nobody builds a key by hand.

Documents stand alone under ``documents/<kind>/``, all keys of one kind of one length, so that listing
documents lists nothing else and byte order is creation order.
"""

from __future__ import annotations

import hashlib

VERSION_DIGITS = 8


def documents_prefix(kind: str) -> str:
    """All documents of one kind."""
    return f"{ALL_DOCUMENTS}{kind}/"


def document(kind: str, document_id: str) -> str:
    """A JSON document that changes by conditional writes only."""
    return f"{documents_prefix(kind)}{document_id}"


def name_claim(kind: str, name: str) -> str:
    """The object that makes a human name unique; its body holds the id it belongs to."""
    return f"names/{kind}/{hashlib.sha256(name.encode()).hexdigest()}"


BLOBS = "blobs/sha256/"
"""All blobs."""


def blob(sha256: str) -> str:
    """Immutable bytes under the hash of their content."""
    return f"{BLOBS}{sha256[:2]}/{sha256}"


UPLOADS = "uploads/"
"""What clients upload."""


def upload(upload_id: str) -> str:
    """What a client uploads, before the service has looked at it."""
    return f"{UPLOADS}{upload_id}"


INGESTS = "ingests/"
"""What ingests have done so far."""


def ingest_prefix(ingest_id: str) -> str:
    """What one ingest has done so far; removed when it has ended."""
    return f"{INGESTS}{ingest_id}/"


def ingest_record(ingest_id: str, name: str) -> str:
    """One piece of it."""
    return f"{ingest_prefix(ingest_id)}{name}"


IMPORTS = "imports/"
"""Where people put folders of pictures and labels by means of their own; ingests may read below it."""


def all_versions_prefix(kind: str) -> str:
    """All version manifests of all datasets or models."""
    return f"{ALL_VERSIONS}{kind}/"


def versions_prefix(kind: str, owner_id: str) -> str:
    """All version manifests of one dataset or model."""
    return f"{all_versions_prefix(kind)}{owner_id}/"


def version(kind: str, owner_id: str, number: int) -> str:
    """A version's complete manifest, which is also its claim. ``kind`` is ``datasets`` or ``models``."""
    return f"{versions_prefix(kind, owner_id)}{number:0{VERSION_DIGITS}d}"


def removed_versions_prefix(kind: str, owner_id: str) -> str:
    """All marks of removed versions of one dataset or model."""
    return f"removed-versions/{kind}/{owner_id}/"


def removed_version(kind: str, owner_id: str, number: int) -> str:
    """The mark that a version was there, so that its number is never given again."""
    return f"{removed_versions_prefix(kind, owner_id)}{number:0{VERSION_DIGITS}d}"


GARBAGE = "garbage/"
"""What a collection of garbage notes for itself."""
UNREFERENCED_BLOBS = f"{GARBAGE}unreferenced"
"""Since when which blobs have been named by nothing."""
CONDEMNED_BLOBS = f"{GARBAGE}condemned"
"""Blobs that are being removed at this moment; who writes one of them waits until it is over."""

JOBS = "jobs/"
"""Everything of jobs that is no document."""
ALL_DOCUMENTS = "documents/"
ALL_VERSIONS = "versions/"


def job_prefix(job_id: str) -> str:
    """Everything of a job that is no document."""
    return f"{JOBS}{job_id}/"


def job_spec(job_id: str) -> str:
    """What the training program is asked to do; written once, before the job document."""
    return f"{job_prefix(job_id)}spec.json"


def attempt_prefix(job_id: str, attempt: int) -> str:
    """Everything one attempt writes before it counts."""
    return f"{job_prefix(job_id)}attempts/{attempt:04d}/"


def attempt_log(job_id: str, attempt: int) -> str:
    """The attempt's whole output, archived when it ended."""
    return f"{attempt_prefix(job_id, attempt)}log.txt"


def attempt_pods_prefix(job_id: str, attempt: int) -> str:
    """What is known of the attempt's pods on Kubernetes."""
    return f"{attempt_prefix(job_id, attempt)}pods/"


def attempt_pod(job_id: str, attempt: int, uid: str) -> str:
    """One pod of the attempt: how it ended and what it wrote, kept before the cluster forgets it."""
    return f"{attempt_pods_prefix(job_id, attempt)}{uid}"


def attempt_epoch_file(job_id: str, attempt: int, step: int, name: str, claim: str = "") -> str:
    """A file written at a validation interval; it counts once the checkpoint document names it.

    ``claim`` keeps apart what two processes of one attempt write, of which only one counts.
    """
    folder = f"{step:010d}-{claim}" if claim else f"{step:010d}"
    return f"{attempt_prefix(job_id, attempt)}steps/{folder}/{name}"


def checkpoint_document(job_id: str) -> str:
    """The job's committed progress: which files of which attempt count."""
    return document("checkpoints", job_id)


def progress_prefix(job_id: str) -> str:
    """All progress records of a job, in order of steps."""
    return f"{job_prefix(job_id)}progress/"


def progress_record(job_id: str, step: int) -> str:
    """One progress record; a later attempt that repeats a step replaces its record."""
    return f"{progress_prefix(job_id)}{step:010d}"


PROBES = "probe/"
"""Scratch objects of the start-up probe."""


def probe(name: str) -> str:
    """A scratch object of the start-up probe."""
    return f"{PROBES}{name}"


def is_passing(key: str) -> bool:
    """Whether an object is of use to running processes only; a copy of the bucket leaves it out."""
    return key.startswith((PROBES, GARBAGE, documents_prefix("leases")))


def refers(key: str) -> bool:
    """Whether an object names others by their hashes and keys, and so must not be older than they are."""
    return key.startswith((ALL_DOCUMENTS, ALL_VERSIONS, "names/", "removed-versions/"))
