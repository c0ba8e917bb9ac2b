"""Models by unique name, and their versions as they were published. Knows no zips and no HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.ids import new_id
from periscope.versions import Versions
from periscope_registry.rules import Body, Unknown

KIND = "models"
MAX_CACHED_MANIFESTS = 20_000


class Manifests:
    """Versions of models. A manifest never changes, so each is read once; which there are is asked anew."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._known: dict[tuple[str, int], Body] = {}
        self._lock = threading.Lock()

    def all(self, model_id: str) -> Sequence[Body]:
        """The manifests of all versions that are not removed, oldest first."""
        removed = self._versions.removed(model_id)
        numbers = [number for number in self._versions.numbers(model_id) if number not in removed]
        found = (self.kept(model_id, number) for number in numbers)
        return [manifest for manifest in found if manifest is not None]

    def get(self, model_id: str, number: int) -> Body | None:
        """One manifest, or None where there is no such version, or no more."""
        manifest = self.kept(model_id, number)
        if manifest is None or self._versions.is_removed(model_id, number):
            return None
        return manifest

    def kept(self, model_id: str, number: int) -> Body | None:
        """One manifest, of a version marked for removal too; asks the store for nothing twice."""
        with self._lock:
            known = self._known.get((model_id, number))
        if known is not None:
            return known
        manifest = self._versions.get(model_id, number)
        if manifest is not None:
            self._keep(model_id, number, manifest)
        return manifest

    def find_zip(self, model_id: str, sha256: str) -> Body | None:
        """The version made of a zip, or None."""
        return next((found for found in self.all(model_id) if found["zip"]["sha256"] == sha256), None)

    def _keep(self, model_id: str, number: int, manifest: Body) -> None:
        with self._lock:
            if len(self._known) >= MAX_CACHED_MANIFESTS:
                self._known.clear()
            self._known[model_id, number] = manifest


def find_by_name(documents: Documents, kind: str, name: str) -> Document | None:
    """The document that a name belongs to; None also where its maker died between name and document."""
    document_id = documents.id_of_name(kind, name)
    if document_id is None:
        return None
    try:
        return documents.get(kind, document_id)
    except DocumentMissing:
        return None


class Catalogue:
    """All models of one store."""

    def __init__(self, documents: Documents, manifests: Manifests) -> None:
        self._documents = documents
        self.manifests = manifests

    def ensure(self, name: str, description: str | None, tags: Body | None = None) -> tuple[Document, bool]:
        """The model of this name, made if need be; and whether it was. What is given replaces the old.

        Raises:
            Conflict: others kept changing it.
        """
        # The name is claimed first; who dies in between leaves a claim that the next caller fills.
        model_id = self._documents.claim_name(KIND, name, new_id())
        now = to_rfc3339(utc_now())
        told = {"description": description or "", "tags": tags or {}}
        body = {"name": name, **told, "created_at": now, "updated_at": now}
        try:
            return self._documents.create(KIND, body, model_id), True
        except Conflict:
            document = self._documents.get(KIND, model_id)
        given = {"description": description, "tags": tags}
        change = {key: value for key, value in given.items() if value not in (None, document.body.get(key))}
        if change:
            document = self._documents.update(
                KIND, model_id, lambda latest: latest | change | {"updated_at": now}
            )
        return document, False

    def get(self, name: str) -> Document:
        """Raises Unknown."""
        found = find_by_name(self._documents, KIND, name)
        if found is None:
            raise Unknown(f"there is no model {name!r}; PUT /v1/models/{name} makes it")
        return found

    def change(self, model: Document, **fields: Any) -> None:
        """Set fields of a model, its ``gate`` or ``retention``.

        Raises:
            Conflict: others kept changing the model.
        """
        change = {**fields, "updated_at": to_rfc3339(utc_now())}
        self._documents.update(KIND, model.id, lambda latest: latest | change)

    def list(self) -> Sequence[Document]:
        """All models, oldest first."""
        return self._documents.list(KIND)

    def version(self, model: Document, number: int) -> Body:
        """A version's manifest. Raises Unknown."""
        return self._require(model, number, self.manifests.get(model.id, number))

    def version_in_use(self, model: Document, number: int) -> Body:
        """The manifest of a version that something points to: one look less. Raises Unknown."""
        return self._require(model, number, self.manifests.kept(model.id, number))

    def _require(self, model: Document, number: int, manifest: Body | None) -> Body:
        if manifest is None:
            raise Unknown(f"the model {model.body['name']!r} has no version {number}")
        return manifest
