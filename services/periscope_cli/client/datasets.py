"""Data sets: versions, uploads and ingests, what the lint says, exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from periscope.client import Progress, ServiceClient, ServiceProblem
from periscope.wire.browsing import DifferenceResponse, ImageChange, PreviewResponse, StatisticsResponse
from periscope.wire.datasets import DatasetResponse, IngestResponse, VersionManifest
from periscope_cli.client.calls import ULID, Document, keyed, pages, typed_pages, until
from periscope_cli.client.uploads import send_file
from periscope_cli.errors import Ended, NotThere

INGEST_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")
CONFLICT = 409


class Datasets:
    """Data sets of one dataset service. A ``dataset`` is named by its name or id."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def list(self) -> Iterator[DatasetResponse]:
        """All, oldest first."""
        return typed_pages(self._client, "/v1/datasets", DatasetResponse)

    def get(self, dataset: str) -> DatasetResponse:
        """Raises NotThere, ServiceProblem."""
        if ULID.fullmatch(dataset):
            return DatasetResponse.model_validate(self._client.get(f"/v1/datasets/{dataset}"))
        items = self._client.get("/v1/datasets", params={"name": dataset})["items"]
        if not items:
            raise NotThere(f"there is no dataset {dataset!r}; `periscope dataset list` shows what there is")
        return DatasetResponse.model_validate(items[0])

    def find(self, dataset: str) -> str:
        """The id itself, or that of the data set of this name. Raises NotThere."""
        return dataset if ULID.fullmatch(dataset) else self.get(dataset).id

    def ensure(self, name: str) -> DatasetResponse:
        """The data set of this name, made if need be."""
        try:
            made = self._client.post("/v1/datasets", json={"name": name}, headers=keyed())
        except ServiceProblem as error:
            if error.status != CONFLICT:
                raise
            return self.get(name)
        return DatasetResponse.model_validate(made)

    def push(
        self,
        name: str,
        archive: Path,
        options: Mapping[str, Any] | None = None,
        on_progress: Progress | None = None,
    ) -> IngestResponse:
        """Send an archive to the data set of this name, made if need be: see ``send``."""
        return self.send(self.ensure(name).id, archive, options, on_progress)

    def send(
        self,
        dataset_id: str,
        archive: Path,
        options: Mapping[str, Any] | None = None,
        on_progress: Progress | None = None,
    ) -> IngestResponse:
        """Send an archive, which becomes a version once its ingest ends: ``wait`` for that.

        An upload of the same file that broke off is gone on with.
        """
        uploads = f"/v1/datasets/{dataset_id}/uploads"
        answer = send_file(self._client, uploads, archive, {"options": dict(options or {})}, on_progress)
        return IngestResponse.model_validate(answer)

    def wait(
        self,
        ingest: IngestResponse,
        on_state: Callable[[IngestResponse], None] = lambda _: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> IngestResponse:
        """Until an ingest has ended. Raises Ended unless it made a version."""

        def show(document: Document) -> None:
            on_state(IngestResponse.model_validate(document))

        path = f"/v1/datasets/{ingest.dataset_id}/ingests/{ingest.id}"
        ended = IngestResponse.model_validate(until(self._client, path, INGEST_ENDS, show, note))
        if ended.state != "SUCCEEDED":
            raise Ended(f"the ingest {ended.state.lower()}; nothing was stored", ended)
        return ended

    def versions(self, dataset: str) -> Iterator[Document]:
        """Manifests of all versions, oldest first."""
        return pages(self._client, f"/v1/datasets/{self.find(dataset)}/versions")

    def manifest(self, dataset: str, version: int | None = None) -> Document:
        """All that is known of a version, as the service says it; of the newest where none is given."""
        found: Document = self._client.get(self._version_path(dataset, version))
        return found

    def version(self, dataset: str, version: int | None = None) -> VersionManifest:
        """The same, typed: its classes, splits and findings."""
        return VersionManifest.model_validate(self.manifest(dataset, version))

    def statistics(self, dataset: str, version: int | None = None) -> StatisticsResponse:
        """Counts, sizes and shapes of the boxes, by class and split."""
        answer = self._client.get(f"{self._version_path(dataset, version)}/statistics")
        return StatisticsResponse.model_validate(answer)

    def preview(self, dataset: str, width: int, height: int, version: int | None = None) -> PreviewResponse:
        """How many boxes of each class survive to the coverage grid at an input size."""
        query = {"width": width, "height": height}
        answer = self._client.get(f"{self._version_path(dataset, version)}/preview", params=query)
        return PreviewResponse.model_validate(answer)

    def diff(self, dataset: str, base: int, version: int) -> Iterator[ImageChange]:
        """What changed between two versions, picture by picture."""
        path, query = f"{self._version_path(dataset, version)}/diff", {"base": base}
        return typed_pages(self._client, path, ImageChange, query)

    def changes(self, dataset: str, base: int, version: int) -> DifferenceResponse:
        """How many pictures and boxes changed, with the first page of them."""
        path = f"{self._version_path(dataset, version)}/diff"
        return DifferenceResponse.model_validate(self._client.get(path, params={"base": base}))

    def export(
        self,
        dataset: str,
        target: Path,
        form: str = "kitti",
        version: int | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        """Write a version as a zip: ``kitti``, ``coco``, ``yolo`` or ``voc``."""
        path = f"{self._version_path(dataset, version)}/export?format={form}"
        self._client.download(path, target, None, on_progress)

    def delete_version(self, dataset: str, version: int) -> None:
        """Raises ServiceProblem where a job uses it."""
        self._client.delete(self._version_path(dataset, version))

    def _version_path(self, dataset: str, version: int | None) -> str:
        return f"/v1/datasets/{self.find(dataset)}/versions/{version or 'latest'}"
