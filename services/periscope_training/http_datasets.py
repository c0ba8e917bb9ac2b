"""The dataset service over HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from periscope.client import ServiceClient, ServiceError, ServiceProblem
from periscope.ids import is_id
from periscope_training.datasets import DatasetMissing, DatasetsUnavailable, Manifest


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

    def _id_of(self, name: str) -> str:
        missing = f"There is no dataset {name!r}."
        items = self._get("/v1/datasets", missing, params={"name": name})["items"]
        if not items:
            raise DatasetMissing(missing)
        return str(items[0]["id"])

    def _get(self, path: str, missing: str, **params: Any) -> Any:
        try:
            return self._client.get(path, **params)
        except ServiceProblem as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise DatasetMissing(missing) from error
            raise DatasetsUnavailable(f"The dataset service answered {error.status}: {error}") from error
        except ServiceError as error:
            raise DatasetsUnavailable(f"The dataset service does not answer: {error}") from error
