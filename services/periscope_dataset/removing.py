"""Takes versions and data sets away, unless a job uses them."""

from __future__ import annotations

from typing import Any

from periscope.documents import Documents
from periscope_dataset.rules import DATASETS, FINAL_STATES, INGESTS, Catalogue

JOBS, EVALUATIONS = "jobs", "evaluations"
"""Kinds of the training service's documents; their ``dataset`` has id and version."""


class InUse(Exception):
    """Jobs or ingests need it; ``users`` names them."""

    def __init__(self, what: str, users: list[dict[str, str]]) -> None:
        named = ", ".join(f"{user['kind']} {user['id']}" for user in users[:10])
        more = f" and {len(users) - 10} more" if len(users) > 10 else ""
        super().__init__(f"{what} is used by {named}{more}; delete these first")
        self.users = users


class Remover:
    """Removes; blobs that nothing names then are collected later."""

    def __init__(self, catalogue: Catalogue, documents: Documents) -> None:
        self._catalogue = catalogue
        self._documents = documents

    def remove_version(self, dataset_id: str, number: int) -> None:
        """Take one version away; an absent one is no error. Raises UnknownDataset, InUse."""
        self._catalogue.get(dataset_id)
        users = self._users(dataset_id, number)
        if users:
            raise InUse(f"version {number}", users)
        self._catalogue.versions.remove(dataset_id, number)

    def remove_dataset(self, dataset_id: str) -> None:
        """Take a data set with all its versions away. Raises UnknownDataset, InUse."""
        self._catalogue.get(dataset_id)
        users = self._users(dataset_id, None)
        users += [
            {"kind": "ingest", "id": ingest.id}
            for ingest in self._catalogue.ingests(dataset_id)
            if ingest.body["state"] not in FINAL_STATES
        ]
        if users:
            raise InUse("the data set", users)
        for manifest in self._catalogue.versions.list(dataset_id):
            self._catalogue.versions.remove(dataset_id, manifest["version"])
        for ingest in self._catalogue.ingests(dataset_id):
            self._documents.delete(INGESTS, ingest.id)
        self._documents.delete(DATASETS, dataset_id)

    def _users(self, dataset_id: str, number: int | None) -> list[dict[str, str]]:
        """Jobs, ended ones too: they may be resumed or cloned; and evaluations that have not ended."""

        def uses(body: dict[str, Any]) -> bool:
            used = body.get("dataset") or {}
            return used.get("id") == dataset_id and number in (None, used.get("version"))

        jobs = self._documents.matching(JOBS, uses)
        evaluations = self._documents.matching(
            EVALUATIONS, lambda body: uses(body) and body["state"] not in FINAL_STATES
        )
        return [
            *({"kind": "job", "id": item.id, "name": str(item.body.get("name", ""))} for item in jobs),
            *({"kind": "evaluation", "id": item.id} for item in evaluations),
        ]
