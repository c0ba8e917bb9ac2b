"""Takes publications through their steps: build and prove, upload, register, point the aliases.

Whoever calls it holds the leadership. Nothing is remembered between steps but a local copy of the zip, which
is made again, byte for byte, where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from periscope.documents import Document, Documents
from periscope.store import StoreUnavailable
from periscope_training import publication
from periscope_training.publication import (
    KIND,
    Body,
    Build,
    Finalize,
    Offer,
    SetAliases,
    Step,
    Wait,
    is_final,
    next_step,
)
from periscope_training.registry import Registry, RegistryRefused, RegistryUnavailable, UploadGone

log = structlog.get_logger()


class NotPublishable(Exception):
    """The epoch's files are not what they should be; the message says in which way."""

    def __init__(self, reason: str, parity: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.parity = parity


@dataclass(frozen=True)
class BuiltZip:
    """A model zip that is proved to compute what PyTorch did."""

    path: Path
    sha256: str
    size_bytes: int
    parity: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


class Builder(Protocol):
    """Makes the zip of a publication."""

    def build(self, publication_id: str, body: Body) -> BuiltZip:
        """Fetch, prove and zip; equal publications give equal bytes. Raises NotPublishable."""

    def discard(self, publication_id: str) -> None:
        """Remove the local copy."""


class Publisher:
    """The body of the publishing loop."""

    def __init__(
        self,
        documents: Documents,
        registry: Registry,
        builder: Builder,
        backoff_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._documents = documents
        self._registry = registry
        self._builder = builder
        self._backoff_s = backoff_s
        self._now = now

    def publish_all(self, still_leads: Callable[[], bool]) -> float | None:
        """Take every publication as far as it goes, oldest first.

        Returns seconds until one may go on, or None when none waits.
        """
        waits = []
        for document in self._documents.list(KIND):
            if is_final(document.body):
                continue
            if not still_leads():
                return None
            try:
                wait = self._go_on(document, still_leads)
            except StoreUnavailable:
                raise
            except Exception:
                # One broken document must not stop the other publications.
                log.exception("publication_not_worked_on", publication_id=document.id)
                continue
            if wait is not None:
                waits.append(wait)
        return min(waits, default=None)

    def _go_on(self, document: Document, still_leads: Callable[[], bool]) -> float | None:
        """Do steps until one must wait or all are done."""
        while still_leads():
            step = next_step(document.body, self._now())
            if isinstance(step, Wait):
                return step.seconds
            log.info("publication_step", publication_id=document.id, step=repr(step))
            try:
                document = self._do(document, step)
            except (RegistryUnavailable, StoreUnavailable) as error:
                document = self._postpone(document, str(error))
            except NotPublishable as error:
                document = self._fail(document, str(error), parity=error.parity)
            except RegistryRefused as error:
                document = self._fail(document, f"The registry refused it: {error}")
            except Exception as error:
                # Unforeseen, so perhaps not lasting; the number of tries is limited.
                log.exception("publication_step_failed", publication_id=document.id)
                document = self._postpone(document, f"{type(error).__name__}: {error}")
        return None

    def _do(self, document: Document, step: Step) -> Document:
        match step:
            case Build():
                zip_file = self._builder.build(document.id, document.body)
                return self._enter_built(document, zip_file)
            case Offer():
                return self._offer(document)
            case Finalize(upload_id):
                return self._finalize(document, upload_id)
            case SetAliases(version):
                return self._set_aliases(document, version)
            case Wait():
                return document

    def _enter_built(self, document: Document, zip_file: BuiltZip) -> Document:
        described = {"sha256": zip_file.sha256, "size_bytes": zip_file.size_bytes}
        return self._change(
            document,
            lambda body: publication.built(body, zip_file.parity, described, zip_file.warnings, self._now()),
        )

    def _offer(self, document: Document) -> Document:
        model = document.body["model"]
        zip_file = self._builder.build(document.id, document.body)
        if zip_file.sha256 != document.body["zip"]["sha256"]:
            # A newer service builds other bytes; nothing of the older ones has been uploaded.
            return self._enter_built(document, zip_file)
        self._registry.ensure_model(model)
        version = self._registry.find_version(model, zip_file.sha256)
        if version is not None:
            return self._enter_version(document, version)
        upload_id = self._registry.upload(model, zip_file.path)
        return self._change(document, lambda body: publication.uploaded(body, upload_id, self._now()))

    def _finalize(self, document: Document, upload_id: str) -> Document:
        try:
            version = self._registry.finalize(document.body["model"], upload_id, metadata_of(document))
        except UploadGone as error:
            log.warning("upload_lost", publication_id=document.id, reason=str(error))
            self._change(document, lambda body: publication.upload_lost(body, self._now()))
            return self._postpone(document, str(error))
        return self._enter_version(document, version)

    def _enter_version(self, document: Document, version: int) -> Document:
        return self._change(document, lambda body: publication.registered(body, version, self._now()))

    def _set_aliases(self, document: Document, version: int) -> Document:
        for alias in document.body["aliases"]:
            self._registry.set_alias(document.body["model"], alias, version)
        done = self._change(document, lambda body: publication.succeeded(body, self._now()))
        self._builder.discard(document.id)
        return done

    def _postpone(self, document: Document, reason: str) -> Document:
        return self._change(
            document, lambda body: publication.postponed(body, reason, self._backoff_s, self._now())
        )

    def _fail(self, document: Document, reason: str, **more: Any) -> Document:
        failed = self._change(document, lambda body: publication.failed(body, reason, self._now(), **more))
        self._builder.discard(document.id)
        return failed

    def _change(self, document: Document, change: Callable[[Body], Body]) -> Document:
        return self._documents.update(KIND, document.id, change)


def metadata_of(document: Document) -> dict[str, Any]:
    """What the registry is told of a publication's zip: see ``periscope.wire.models.FinalizeRequest``."""
    body = document.body
    lineage = {
        "job_id": body["job_id"],
        "epoch": body["epoch"],
        "step": body["step"],
        "publication": document.id,
        "dataset": body.get("dataset"),
        "parity": body["parity"],
    }
    return {"metrics": body["metrics"], "lineage": lineage}
