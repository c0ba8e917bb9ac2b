"""The dataset service over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from periscope.client import ServiceClient, ServiceError, ServiceProblem
from periscope.ids import is_id
from periscope_training.datasets import DatasetMissing, DatasetsUnavailable, Ingest, Manifest

PAGE_SIZE = 200
TOLD_ERRORS = 3


class HttpDatasets:
    """See :class:`periscope_training.datasets.Datasets`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def manifest(self, dataset: str, version: int | None) -> Manifest:
        """Read a version's manifest; a name is looked up first."""
        dataset_id = dataset if is_id(dataset) else self._id_of(dataset)
        path = f"/v1/datasets/{dataset_id}/versions/{version or 'latest'}"
        found: Manifest = self._get(
            path, f"There is no version {version or 'yet'} of the dataset {dataset!r}."
        )
        return found

    def ingest(self, dataset: str, ingest_id: str) -> Ingest:
        """Read how an ingest stands; a name is looked up first."""
        dataset_id = dataset if is_id(dataset) else self._id_of(dataset)
        missing = f"There is no ingest {ingest_id!r} of the dataset {dataset!r}."
        found = self._get(f"/v1/datasets/{dataset_id}/ingests/{quote(ingest_id, safe='')}", missing)
        name = self._get(f"/v1/datasets/{dataset_id}", missing)["name"]
        trouble = " ".join(str(error["message"]) for error in found["errors"][:TOLD_ERRORS])
        return Ingest(dataset_id, name, found["state"], found["progress"], found["version"], trouble)

    def picture(self, dataset: str, version: int | None, split: str, key: str) -> bytes:
        """Read a picture's file."""
        return self._file(dataset, version, split, key, "original")

    def pictures(self, dataset: str, version: int | None, split: str) -> Iterator[str]:
        """List a split page by page."""
        path, token = self._images(dataset, version), ""
        while True:
            more = {"page_token": token} if token else {}
            missing = f"There is no split {split} of {dataset!r}."
            found = self._get(path, missing, params={"split": split, "page_size": PAGE_SIZE, **more})
            yield from (str(item["key"]) for item in found["items"])
            token = found["next_page_token"]
            if not token:
                return

    def label(self, dataset: str, version: int | None, split: str, key: str) -> str:
        """Read a picture's label file."""
        return self._file(dataset, version, split, key, "label").decode()

    def _file(self, dataset: str, version: int | None, split: str, key: str, what: str) -> bytes:
        path = f"{self._images(dataset, version)}/{split}/{quote(key, safe='')}/{what}"
        try:
            return self._client.call("GET", path).content
        except ServiceError as error:
            raise _as_ours(error, f"The split {split} of {dataset!r} has no picture {key!r}.") from error

    def _images(self, dataset: str, version: int | None) -> str:
        dataset_id = dataset if is_id(dataset) else self._id_of(dataset)
        return f"/v1/datasets/{dataset_id}/versions/{version or 'latest'}/images"

    def _id_of(self, name: str) -> str:
        missing = f"There is no dataset {name!r}."
        items = self._get("/v1/datasets", missing, params={"name": name})["items"]
        if not items:
            raise DatasetMissing(missing)
        return str(items[0]["id"])

    def _get(self, path: str, missing: str, **params: Any) -> Any:
        try:
            return self._client.get(path, **params)
        except ServiceError as error:
            raise _as_ours(error, missing) from error


def _as_ours(error: ServiceError, missing: str) -> DatasetMissing | DatasetsUnavailable:
    if isinstance(error, ServiceProblem) and error.status == HTTPStatus.NOT_FOUND:
        return DatasetMissing(missing)
    if isinstance(error, ServiceProblem):
        return DatasetsUnavailable(f"The dataset service answered {error.status}: {error}")
    return DatasetsUnavailable(f"The dataset service does not answer: {error}")
