"""Pretrained models in the store: a blob of weights and a document that names it."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from detectnet.bundle import check_bundle
from periscope.blobs import put_blob
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.ids import is_id, new_id
from periscope.store import ObjectStore
from periscope_training.epoch_files import CommittedEpoch, EpochFiles
from periscope_training.model_zip import caffemodel_name
from periscope_training.pretrained import KIND, new_pretrained, recognise
from periscope_training.registry import Registry


class NameTaken(Exception):
    """Another pretrained model has the name."""


class PretrainedModels:
    """All pretrained models of one store."""

    def __init__(
        self,
        documents: Documents,
        store: ObjectStore,
        files: EpochFiles,
        registry: Registry,
        now: Callable[[], datetime],
    ) -> None:
        self._documents = documents
        self._store = store
        self._files = files
        self._registry = registry
        self._now = now

    def from_epoch(self, name: str, epoch: CommittedEpoch) -> Document:
        """Keep an epoch's weights under a name. Raises NameTaken and EpochFileGone."""
        content = self._files.read(epoch, caffemodel_name(epoch.entry["files"]))
        return self.add(name, content, {"job_id": epoch.job_id, "epoch": epoch.entry["epoch"]})

    def from_registered(self, name: str, model: str, version: int) -> Document:
        """Keep a registered version's weights under a name.

        Raises NameTaken, BundleError, and what Registry raises.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.zip"
            self._registry.fetch_zip(model, version, path)
            report = check_bundle(path)
            with zipfile.ZipFile(path) as bundle:
                content = bundle.read(report.caffemodel)
        return self.add(name, content, {"model": model, "version": version})

    def add(self, name: str, content: bytes, source: Mapping[str, Any]) -> Document:
        """Keep a file under a name; the same file under the same name again is the same model.

        Raises NameTaken and pretrained.NotWeights.
        """
        kind, layers = recognise(content)
        sha256 = hashlib.sha256(content).hexdigest()
        file = {"format": kind, "layers": layers, "sha256": sha256, "size_bytes": len(content)}
        # The blob first: a document never names what is not there. Where it is already, it is the same.
        put_blob(self._store, content)
        fresh = new_id()
        owner = self._documents.claim_name(KIND, name, fresh)
        try:
            return self._documents.create(KIND, new_pretrained(name, file, source, self._now()), owner)
        except Conflict:
            found = self._documents.get(KIND, owner)
        if found.body["sha256"] != sha256:
            raise NameTaken(f"Another pretrained model is called {name!r}; choose another name.")
        return found


def find_pretrained(documents: Documents, name: str) -> Document:
    """By name or id. Raises DocumentMissing."""
    document_id = name if is_id(name) else documents.id_of_name(KIND, name)
    missing = f"There is no pretrained model {name!r}; GET /v1/pretrained-models lists those that there are."
    if document_id is None:
        raise DocumentMissing(missing)
    try:
        return documents.get(KIND, document_id)
    except DocumentMissing as error:
        raise DocumentMissing(missing) from error
