"""The seam to the dataset service, as far as jobs need it: find a version and read its manifest.

Failures: DatasetMissing (name another) and DatasetsUnavailable (try again later).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Manifest = Mapping[str, Any]


class DatasetMissing(LookupError):
    """No such dataset, or no such version of it."""


class DatasetsUnavailable(Exception):
    """The dataset service gave no usable answer."""


class Datasets(Protocol):
    """Every method may raise DatasetsUnavailable."""

    def manifest(self, dataset: str, version: int | None) -> Manifest:
        """The version's manifest, by the dataset's id or name; None is the newest version.

        Raises DatasetMissing.
        """
