"""Aliases: names that move from version to version by compare-and-set, with their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Conflict, Document, Documents
from periscope.ids import new_id
from periscope_registry.catalogue import Manifests, find_by_name
from periscope_registry.rules import Body, Changed, Unfit, Unknown, move_alias

KIND = "aliases"

Precondition = Callable[[str | None], None]
"""Given the present ETag, or None where there is nothing: raises Changed when the caller expected another."""


class Aliases:
    """All aliases of one store."""

    def __init__(self, documents: Documents, manifests: Manifests) -> None:
        self._documents = documents
        self._manifests = manifests

    def get(self, model: Document, alias: str) -> Document:
        """Raises Unknown."""
        found = self.find(model, alias)
        if found is None:
            raise Unknown(f"the model {model.body['name']!r} has no alias {alias!r}")
        return found

    def find(self, model: Document, alias: str) -> Document | None:
        """The alias, or None."""
        return find_by_name(self._documents, KIND, f"{model.id}/{alias}")

    def list(self, model: Document) -> Sequence[Document]:
        """A model's aliases, by name."""
        found = [alias for alias in self._documents.list(KIND) if alias.body["model_id"] == model.id]
        return sorted(found, key=lambda alias: str(alias.body["alias"]))

    def point(
        self, model: Document, alias: str, version: int, by: str, expect: Precondition, is_conditional: bool
    ) -> tuple[Document, bool]:
        """Point an alias to a version; return it and whether it is new.

        A conditional move is tried once against what ``expect`` saw; another is tried until it gets through.

        Raises:
            Unfit: the version does not exist.
            Changed: the precondition does not hold, or no longer.
            Conflict: others kept changing it.
        """
        if self._manifests.get(model.id, version) is None:
            raise Unfit("/version", f"the model {model.body['name']!r} has no version {version}")
        at = to_rfc3339(utc_now())
        present = self.find(model, alias)
        expect(None if present is None else present.etag)
        if present is None:
            made = self._create(model, alias, version, by, at)
            if made is not None:
                return made, True
            if is_conditional:
                raise Changed(f"the alias {alias!r} was made by another meanwhile")
            present = self.get(model, alias)
        if not is_conditional:
            moved = self._documents.update(KIND, present.id, lambda body: move_alias(body, version, by, at))
            return moved, False
        return self._replace(present, move_alias(present.body, version, by, at)), False

    def _create(self, model: Document, alias: str, version: int, by: str, at: str) -> Document | None:
        alias_id = self._documents.claim_name(KIND, f"{model.id}/{alias}", new_id())
        body: Body = {
            "model_id": model.id,
            "alias": alias,
            "version": version,
            "history": [{"version": version, "at": at, "by": by}],
            "created_at": at,
            "updated_at": at,
        }
        try:
            return self._documents.create(KIND, body, alias_id)
        except Conflict:
            return None

    def _replace(self, present: Document, body: Body) -> Document:
        if body == present.body:
            return present
        try:
            return self._documents.replace(present, body)
        except Conflict as error:
            raise Changed("the alias was moved by another meanwhile; read it again") from error
