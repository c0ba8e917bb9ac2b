"""Models by unique name, and their versions as they were published. Knows no zips and no HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.ids import new_id
from periscope.versions import Versions
from periscope_registry.rules import Body, Unknown

KIND = "models"
MAX_CACHED_MANIFESTS = 20_000


class Manifests:
    """A model's versions, each read once: without gaps and immutable, so only the end is asked for."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._known: dict[str, list[Body]] = {}
        self._lock = threading.Lock()

    def all(self, model_id: str) -> Sequence[Body]:
        """All manifests, oldest first; the number is the place, from 1."""
        with self._lock:
            known = list(self._known.get(model_id, []))
        start = len(known)
        while (manifest := self._versions.get(model_id, len(known) + 1)) is not None:
            known.append(manifest)
        if len(known) > start:
            self._keep(model_id, known)
        return known

    def get(self, model_id: str, number: int) -> Body | None:
        """One manifest, or None."""
        with self._lock:
            known = self._known.get(model_id, [])
            if number <= len(known):
                return known[number - 1]
        return self._versions.get(model_id, number)

    def find_zip(self, model_id: str, sha256: str) -> Body | None:
        """The version made of a zip, or None."""
        return next((found for found in self.all(model_id) if found["zip"]["sha256"] == sha256), None)

    def _keep(self, model_id: str, manifests: list[Body]) -> None:
        with self._lock:
            if sum(map(len, self._known.values())) + len(manifests) > MAX_CACHED_MANIFESTS:
                self._known.clear()
            if len(manifests) > len(self._known.get(model_id, [])):
                self._known[model_id] = manifests


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

    def __init__(self, documents: Documents, versions: Versions) -> None:
        self._documents = documents
        self.manifests = Manifests(versions)

    def ensure(self, name: str, description: str | None) -> tuple[Document, bool]:
        """The model of this name, made if need be; and whether it was. A description given replaces the old.

        Raises:
            Conflict: others kept changing it.
        """
        # The name is claimed first; who dies in between leaves a claim that the next caller fills.
        model_id = self._documents.claim_name(KIND, name, new_id())
        now = to_rfc3339(utc_now())
        body = {"name": name, "description": description or "", "created_at": now, "updated_at": now}
        try:
            return self._documents.create(KIND, body, model_id), True
        except Conflict:
            document = self._documents.get(KIND, model_id)
        if description is not None and document.body["description"] != description:
            change = {"description": description, "updated_at": now}
            document = self._documents.update(KIND, model_id, lambda latest: latest | change)
        return document, False

    def get(self, name: str) -> Document:
        """Raises Unknown."""
        found = find_by_name(self._documents, KIND, name)
        if found is None:
            raise Unknown(f"there is no model {name!r}; PUT /v1/models/{name} makes it")
        return found

    def set_gate(self, model: Document, gate: Body) -> None:
        """Say what must hold of a version before some aliases are pointed to it.

        Raises:
            Conflict: others kept changing the model.
        """
        change = {"gate": gate, "updated_at": to_rfc3339(utc_now())}
        self._documents.update(KIND, model.id, lambda latest: latest | change)

    def list(self) -> Sequence[Document]:
        """All models, oldest first."""
        return self._documents.list(KIND)

    def version(self, model: Document, number: int) -> Body:
        """A version's manifest. Raises Unknown."""
        manifest = self.manifests.get(model.id, number)
        if manifest is None:
            raise Unknown(f"the model {model.body['name']!r} has no version {number}")
        return manifest
