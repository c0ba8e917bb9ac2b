"""The seam to the dataset service, as far as this service needs it.

Jobs need versions and their manifests; trying a network needs pictures and their objects.

Failures: DatasetMissing (name another) and DatasetsUnavailable (try again later).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Manifest = Mapping[str, Any]


class DatasetMissing(LookupError):
    """No such dataset, no such version of it, or no such picture in it."""


class DatasetsUnavailable(Exception):
    """The dataset service gave no usable answer."""


@dataclass(frozen=True)
class Ingest:
    """How far the making of a version is."""

    dataset_id: str
    dataset_name: str
    state: str
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    progress: float
    """Share of the work that is done, 0-1."""
    version: int | None
    """What it made; None before it has succeeded."""
    trouble: str
    """The first errors it found, in words; empty without any."""


class Datasets(Protocol):
    """Every method may raise DatasetsUnavailable."""

    def manifest(self, dataset: str, version: int | None) -> Manifest:
        """The version's manifest, by the dataset's id or name; None is the newest version.

        Raises DatasetMissing.
        """

    def ingest(self, dataset: str, ingest_id: str) -> Ingest:
        """An ingest of a dataset, by the dataset's id or name. Raises DatasetMissing."""

    def picture(self, dataset: str, version: int | None, split: str, key: str) -> bytes:
        """A picture's file as it was uploaded. Raises DatasetMissing."""

    def pictures(self, dataset: str, version: int | None, split: str) -> Iterator[str]:
        """Keys of a split's pictures, in the order of their names. Raises DatasetMissing."""

    def label(self, dataset: str, version: int | None, split: str, key: str) -> str:
        """A picture's KITTI label file. Raises DatasetMissing."""
