"""Makes jobs and publications out of requests, exactly once for each idempotency key.

A job appears whole or not at all: first its spec, then its checkpoint document, last the job document, which
is what everybody looks at. A request that stopped in between is completed when it is sent again with its key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from periscope import keys
from periscope.clock import to_rfc3339
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.ids import new_id
from periscope.store import ObjectStore, PreconditionFailed
from periscope.wire.jobs import JobRequest
from periscope.wire.publications import PublishRequest
from periscope_training import job_document, pretrained, publication, waiting
from periscope_training.curves import find_epoch
from periscope_training.datasets import Datasets, Ingest, Manifest
from periscope_training.pretrained_models import find_pretrained
from periscope_training.rules import (
    JobWish,
    Spec,
    UnusableRequest,
    build_spec,
    read_network,
    request_digest,
    require_usable,
    resolve_wish,
)

NOT_OPTIONS = frozenset(
    {
        "name",
        "dataset",
        "dataset_version",
        "dataset_ingest",
        "input",
        "recipe",
        "resources",
        "allow_findings",
        "network",
        "group",
        "notes",
        "labels",
        "limits",
        "pretrained",
    }
)


class KeyReused(Exception):
    """The idempotency key was used before, for another request."""


def wish_of(request: JobRequest) -> JobWish:
    """The request in plain values: options only where given, or null where null means something.

    What the request's network says counts where the request itself does not. Raises rules.UnusableRequest.
    """
    options: dict[str, Any] = {}
    for name in request.model_fields_set - NOT_OPTIONS:
        value = getattr(request, name)
        if value is not None or name == "augmentation":
            options[name] = value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value
    size = None if request.input is None else (request.input.width, request.input.height)
    classes = None
    if request.network is not None:
        imported = read_network(request.network)
        options, size, classes = imported.options() | options, size or imported.size, imported.classes
    findings = frozenset(request.allow_findings)
    return JobWish(request.name, request.recipe, options, size, findings, classes)


class Submissions:
    """What POST does."""

    def __init__(
        self,
        documents: Documents,
        store: ObjectStore,
        datasets: Datasets,
        threads: int,
        now: Callable[[], datetime],
        require_allowed: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._documents = documents
        self._store = store
        self._datasets = datasets
        self._threads = threads
        self._now = now
        self._require_allowed = require_allowed

    def submit_job(
        self, request: JobRequest, idempotency_key: str | None, manifest: Manifest | None = None
    ) -> Document:
        """Make a job, or find the one made by this key before.

        ``manifest`` is the dataset version's, where the caller has it. A job that names an ingest under way
        WAITS for it. Raises KeyReused, rules.UnusableRequest, and what Datasets raises.
        """
        asked = request.model_dump(mode="json", exclude_unset=True)
        digest = request_digest(asked)
        job_id = self._claim("job-requests", idempotency_key)
        found = self._made_before(job_document.KIND, job_id, digest)
        if found is not None:
            return found
        if request.dataset_ingest is not None:
            ingest = self._ingest_of(request)
            if ingest.version is None:
                return self._make_waiting(job_id, request, asked, ingest)
        spec, dataset_name = self.plan_job(request, job_id, manifest)
        spec = self._keep_spec(job_id, spec)
        self._create(job_document.CHECKPOINT_KIND, job_id, job_document.new_checkpoint(job_id))
        body = job_document.new_job(spec, dataset_name, self._now(), asked)
        if request.resources is not None:
            body["resources"] = _resources_of(request)
        return self._create(job_document.KIND, job_id, body)

    def submit_sweep(self, requests: Sequence[JobRequest], idempotency_key: str | None) -> list[Document]:
        """Make jobs on one dataset version, all or none: what one would be refused for is known before.

        Raises as ``submit_job``.
        """
        first = requests[0]
        waits = first.dataset_ingest is not None and self._ingest_of(first).version is None
        manifest = None if waits else self.manifest_of(first)
        for each in requests:
            resolve_wish(wish_of(each), self._threads)
            if manifest is not None:
                self.plan_job(each, manifest=manifest)
        return [
            self.submit_job(
                each, None if idempotency_key is None else f"{idempotency_key} sweep {index}", manifest
            )
            for index, each in enumerate(requests)
        ]

    def plan_job(
        self, request: JobRequest, job_id: str = "", manifest: Manifest | None = None
    ) -> tuple[Spec, str]:
        """The spec that a job would have, and its dataset's name; nothing is made.

        Raises rules.UnusableRequest, and what Datasets raises.
        """
        asked = request.model_dump(mode="json", exclude_unset=True)
        self._require_allowed(_resources_of(request))
        manifest = self.manifest_of(request) if manifest is None else manifest
        digest = request_digest(asked)
        spec = build_spec(job_id, wish_of(request), manifest, request_sha256=digest, threads=self._threads)
        if request.pretrained is not None:
            spec["weights"] = self._weights_of(request.pretrained)
        return spec, str(manifest["name"])

    def manifest_of(self, request: JobRequest) -> Manifest:
        """The dataset version that a request names, or whose ingest it names.

        Raises rules.UnusableRequest where the ingest has made none, and what Datasets raises.
        """
        if request.dataset_ingest is None:
            return self._datasets.manifest(request.dataset, request.dataset_version)
        ingest = self._ingest_of(request)
        if ingest.version is None:
            raise UnusableRequest(
                "/dataset_ingest", "The dataset is still taken in; its version is not known yet."
            )
        return self._datasets.manifest(ingest.dataset_id, ingest.version)

    def _ingest_of(self, request: JobRequest) -> Ingest:
        if request.dataset_version is not None:
            raise UnusableRequest("/dataset_version", "Give dataset_version or dataset_ingest, not both.")
        return require_usable(self._datasets.ingest(request.dataset, str(request.dataset_ingest)))

    def begin_waiting_job(self, job: Document) -> Document:
        """Queue a job whose dataset version has come; another that has done so first is no trouble.

        Raises rules.UnusableRequest, Outdated when the job no longer waits, and what Datasets raises.
        """
        request = JobRequest.model_validate(job.body["request"])
        spec, dataset_name = self.plan_job(request, job.id)
        spec = self._keep_spec(job.id, spec)
        return self._documents.update(
            job_document.KIND,
            job.id,
            lambda body: waiting.version_came(body, spec, dataset_name, self._now()),
        )

    def _make_waiting(
        self, job_id: str, request: JobRequest, asked: Mapping[str, Any], ingest: Ingest
    ) -> Document:
        """What can be refused at once is; the note that it waits comes before the job that everybody sees."""
        self._require_allowed(_resources_of(request))
        if request.pretrained is not None:
            self._weights_of(request.pretrained)
        training = resolve_wish(wish_of(request), self._threads)
        self._create(job_document.CHECKPOINT_KIND, job_id, job_document.new_checkpoint(job_id))
        note = {
            "dataset": ingest.dataset_id,
            "ingest": request.dataset_ingest,
            "created_at": to_rfc3339(self._now()),
        }
        self._create(waiting.KIND, job_id, note)
        body = waiting.new_waiting_job(asked, training, ingest, request_digest(asked), self._now())
        if request.resources is not None:
            body["resources"] = _resources_of(request)
        return self._create(job_document.KIND, job_id, body)

    def _weights_of(self, name: str) -> dict[str, Any]:
        try:
            return pretrained.weights_of(find_pretrained(self._documents, name).body)
        except DocumentMissing as error:
            raise UnusableRequest("/pretrained", str(error)) from error

    def submit_publication(
        self, job_id: str, which: str, request: PublishRequest, idempotency_key: str | None
    ) -> Document:
        """Make a publication of one epoch, or find the one made by this key before.

        Raises KeyReused, DocumentMissing for an unknown job, curves.NoSuchEpoch.
        """
        wanted = {"job_id": job_id, "epoch": which, **request.model_dump(mode="json")}
        digest = request_digest(wanted)
        publication_id = self._claim("publication-requests", idempotency_key)
        found = self._made_before(publication.KIND, publication_id, digest)
        if found is not None:
            return found
        checkpoint = self._documents.get(job_document.CHECKPOINT_KIND, job_id).body
        epoch = find_epoch(checkpoint["epochs"], which)
        body = publication.new_publication(job_id, epoch, request.model, request.aliases, self._now())
        trained_on = self._documents.get(job_document.KIND, job_id).body["dataset"]
        body["dataset"] = {name: trained_on[name] for name in ("id", "version")}
        return self._create(publication.KIND, publication_id, {**body, "request_sha256": digest})

    def _claim(self, kind: str, idempotency_key: str | None) -> str:
        fresh = new_id()
        if idempotency_key is None:
            return fresh
        return self._documents.claim_name(kind, idempotency_key, fresh)

    def _made_before(self, kind: str, document_id: str, digest: str) -> Document | None:
        try:
            found = self._documents.get(kind, document_id)
        except DocumentMissing:
            return None
        _require_same(found.body, digest)
        return found

    def _keep_spec(self, job_id: str, spec: Spec) -> Spec:
        body = json.dumps(spec, sort_keys=True, indent=2, allow_nan=False).encode()
        try:
            self._store.put_if_absent(keys.job_spec(job_id), body)
        except PreconditionFailed:
            # Written by an earlier try with this key, perhaps on an older dataset version: that one counts.
            kept: Spec = json.loads(self._store.get(keys.job_spec(job_id)).body)
            _require_same(kept, spec["request_sha256"])
            return kept
        return spec

    def _create(self, kind: str, document_id: str, body: dict[str, Any]) -> Document:
        try:
            return self._documents.create(kind, body, document_id)
        except Conflict:
            return self._documents.get(kind, document_id)


def _resources_of(request: JobRequest) -> dict[str, Any]:
    return {} if request.resources is None else request.resources.model_dump(exclude_none=True)


def _require_same(body: Mapping[str, Any], digest: str) -> None:
    if body["request_sha256"] != digest:
        raise KeyReused("This Idempotency-Key was used for another request; use a fresh one.")
