"""The in-memory double of the registry: one version for each upload, as the real one promises."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from periscope_training.registry import RegistryRefused, RegistryUnavailable, UploadGone
from tests.unit.periscope_training.fate import Fate


class FakeRegistry:
    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.models: dict[str, list[dict[str, Any]]] = {}
        self.uploads: dict[str, bytes] = {}
        self.version_of_upload: dict[str, int] = {}
        self.model_of_upload: dict[str, str] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.silent_for = 0
        self.refuses = ""

    def ensure_model(self, model: str) -> None:
        self._answer()
        self.models.setdefault(model, [])

    def find_version(self, model: str, sha256: str) -> int | None:
        self._answer()
        found = [version["number"] for version in self.models[model] if version["sha256"] == sha256]
        return found[0] if found else None

    def upload(self, model: str, path: Path) -> str:
        self._answer()

        def take() -> str:
            upload_id = f"01UP{len(self.uploads)}"
            self.uploads[upload_id] = path.read_bytes()
            self.model_of_upload[upload_id] = model
            return upload_id

        return self.fate.around(take)

    def finalize(self, model: str, upload_id: str, metadata: Mapping[str, Any]) -> int:
        self._answer()
        if upload_id not in self.uploads:
            raise UploadGone(upload_id)
        if self.refuses:
            raise RegistryRefused(self.refuses, 422)
        return self.fate.around(lambda: self._claim(model, upload_id, metadata))

    def fetch_zip(self, model: str, version: int, destination: Path) -> None:
        self._answer()
        found = [
            upload
            for upload, number in self.version_of_upload.items()
            if number == version and self.model_of_upload[upload] == model
        ]
        if not found:
            raise RegistryRefused(f"There is no version {version} of {model!r}.", 404)
        destination.write_bytes(self.uploads[found[0]])

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self._answer()
        self.fate.around(lambda: self.aliases.__setitem__((model, alias), version))

    def _claim(self, model: str, upload_id: str, metadata: Mapping[str, Any]) -> int:
        if upload_id not in self.version_of_upload:
            versions = self.models[model]
            sha256 = hashlib.sha256(self.uploads[upload_id]).hexdigest()
            versions.append({"number": len(versions) + 1, "sha256": sha256, "metadata": dict(metadata)})
            self.version_of_upload[upload_id] = len(versions)
        return self.version_of_upload[upload_id]

    def _answer(self) -> None:
        if self.silent_for > 0:
            self.silent_for -= 1
            raise RegistryUnavailable("the registry does not answer")
