"""The seam to the registry, as far as publishing and pretrained models need it.

Failures, cut by what the publisher can do next::

    RegistryError
    ├── RegistryUnavailable   no usable answer: the same call may succeed later
    ├── UploadGone            the upload is unknown or expired: upload again
    └── RegistryRefused       the registry looked at the zip or the name and said no
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class RegistryError(Exception):
    """Base of every failure of the registry."""


class RegistryUnavailable(RegistryError):
    """The registry gave no usable answer."""


class UploadGone(RegistryError):
    """The registry does not know the upload, or no longer."""


class RegistryRefused(RegistryError):
    """The registry will not take this, now or later; the message is its reason."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Registry(Protocol):
    """Every method may raise RegistryUnavailable or RegistryRefused."""

    def ensure_model(self, model: str) -> None:
        """Make the model when it is not there."""

    def find_version(self, model: str, sha256: str) -> int | None:
        """The oldest version whose zip has this hash."""

    def upload(self, model: str, path: Path) -> str:
        """Upload a zip and return the upload's id; no version comes of it yet."""

    def finalize(self, model: str, upload_id: str, metadata: Mapping[str, Any]) -> int:
        """Make a version of the upload, or tell the one made of it before. Raises UploadGone."""

    def fetch_zip(self, model: str, version: int, destination: Path) -> None:
        """Write a version's zip, proved to be the registered one."""

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point the alias to the version; no effect when it does already."""
