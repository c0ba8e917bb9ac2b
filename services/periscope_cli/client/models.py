"""Registered models: versions, aliases, gate, zips."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from periscope.client import Progress, ServiceClient
from periscope.wire.models import AliasResponse, ModelResponse, VersionResponse
from periscope.wire.promotion import ComparisonResponse, GateResponse
from periscope.wire.retention import CleanUpResponse, RetentionResponse, StageEntry, TrashedVersion
from periscope_cli.client.calls import typed_pages
from periscope_cli.client.uploads import send_file

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
REFERENCE = re.compile(rf"(?P<model>{NAME})(?:@(?P<alias>{NAME})|:(?P<version>[1-9][0-9]*))?")


@dataclass(frozen=True)
class ModelReference:
    """``MODEL``, ``MODEL@alias`` or ``MODEL:version``."""

    model: str
    alias: str | None = None
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Raises ValueError where the text is none of the three."""
        found = REFERENCE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no MODEL, MODEL@alias or MODEL:version")
        version = found["version"]
        return cls(found["model"], found["alias"], int(version) if version else None)


class Models:
    """Models of one registry."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def list(self, text: str | None = None, tags: Sequence[str] = ()) -> Iterator[ModelResponse]:
        """Oldest first, all or those that are looked for; a tag is ``key=value``."""
        return typed_pages(self._client, "/v1/models", ModelResponse, _given(text=text, tag=list(tags)))

    def get(self, model: str) -> ModelResponse:
        """Raises ServiceProblem."""
        return ModelResponse.model_validate(self._client.get(f"/v1/models/{model}"))

    def ensure(
        self, model: str, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> ModelResponse:
        """The model of this name, made if need be; what is given replaces what is there."""
        body = _given(description=description, tags=tags)
        return ModelResponse.model_validate(self._client.put(f"/v1/models/{model}", json=body))

    def versions(self, model: str, **search: Any) -> Iterator[VersionResponse]:
        """Oldest first; ``text``, ``tag``, ``class_name``, ``job``, ``dataset`` and ``min_metric`` search."""
        return typed_pages(self._client, f"/v1/models/{model}/versions", VersionResponse, _given(**search))

    def version(self, reference: ModelReference | str) -> VersionResponse:
        """What ``MODEL``, ``MODEL@alias`` or ``MODEL:version`` means; ``MODEL`` is ``MODEL@latest``."""
        parsed = ModelReference.parse(reference) if isinstance(reference, str) else reference
        number = parsed.version
        if number is None:
            number = self.alias(parsed.model, parsed.alias or "latest").version
        path = f"/v1/models/{parsed.model}/versions/{number}"
        return VersionResponse.model_validate(self._client.get(path))

    def publish_zip(
        self,
        model: str,
        path: Path,
        description: str = "",
        on_progress: Progress | None = None,
        **notes: Any,
    ) -> VersionResponse:
        """Make a version of a zip of one's own; notes are ``metrics``, ``lineage`` and ``tags``.

        Raises:
            ServiceProblem: the zip is refused; every reason is in its text.
        """
        self.ensure(model)
        notes = {"description": description, **_given(**notes)}
        answer = send_file(self._client, f"/v1/models/{model}/uploads", path, notes, on_progress)
        return VersionResponse.model_validate(answer)

    def pull(self, version: VersionResponse, target: Path, on_progress: Progress | None = None) -> None:
        """Download a version's zip, going on where an earlier call stopped; it appears when it is whole.

        Raises:
            DownloadCorrupt: the SHA-256 is not the registry's.
        """
        # The unfinished file carries the hash, so that a rest of another version is never continued.
        unfinished = target.with_name(f"{target.name}.{version.zip.sha256[:12]}")
        path = f"/v1/models/{version.model}/versions/{version.version}/zip"
        self._client.download(path, unfinished, version.zip.sha256, on_progress)
        unfinished.replace(target)

    def compare(self, model: str, base: int, version: int) -> ComparisonResponse:
        """How a version differs from another."""
        path = f"/v1/models/{model}/versions/{version}/comparison"
        return ComparisonResponse.model_validate(self._client.get(path, params={"base": base}))

    def stages(self, model: str, version: int) -> Sequence[StageEntry]:
        """When which alias pointed to a version."""
        found = self._client.get(f"/v1/models/{model}/versions/{version}/stages")["items"]
        return [StageEntry.model_validate(item) for item in found]

    def aliases(self, model: str) -> Iterator[AliasResponse]:
        """A model's aliases, by name."""
        return typed_pages(self._client, f"/v1/models/{model}/aliases", AliasResponse)

    def alias(self, model: str, alias: str) -> AliasResponse:
        """Where an alias points and where it pointed."""
        return AliasResponse.model_validate(self._client.get(_alias(model, alias)))

    def point(self, model: str, alias: str, version: int) -> AliasResponse:
        """Point an alias to a version. Raises ServiceProblem where the model's gate forbids it."""
        answer = self._client.put(_alias(model, alias), json={"version": version})
        return AliasResponse.model_validate(answer)

    def roll_back(self, model: str, alias: str) -> AliasResponse:
        """Point an alias to where it was before."""
        return AliasResponse.model_validate(self._client.post(f"{_alias(model, alias)}:rollback"))

    def delete_alias(self, model: str, alias: str) -> None:
        """Raises ServiceProblem where a robot or a group follows it."""
        self._client.delete(_alias(model, alias))

    def gate(self, model: str) -> GateResponse:
        """What must hold before some aliases are pointed to a version."""
        return GateResponse.model_validate(self._client.get(f"/v1/models/{model}/gate"))

    def set_gate(self, model: str, gate: Mapping[str, Any]) -> GateResponse:
        """Replace the gate: fields of ``GateRequest``."""
        return GateResponse.model_validate(self._client.put(f"/v1/models/{model}/gate", json=dict(gate)))

    def delete_version(self, model: str, version: int) -> None:
        """Put a version into the trash. Raises ServiceProblem where something needs it."""
        self._client.delete(f"/v1/models/{model}/versions/{version}")

    def trash(self, model: str) -> Iterator[TrashedVersion]:
        """Versions that can still be restored."""
        return typed_pages(self._client, f"/v1/models/{model}/trash", TrashedVersion)

    def restore(self, model: str, version: int) -> VersionResponse:
        """Take a version out of the trash."""
        answer = self._client.post(f"/v1/models/{model}/versions/{version}:restore")
        return VersionResponse.model_validate(answer)

    def set_retention(self, model: str, keep_newest: int | None, keep_days: int = 0) -> RetentionResponse:
        """Say which versions a clean-up leaves alone."""
        body = {"keep_newest": keep_newest, "keep_days": keep_days}
        return RetentionResponse.model_validate(self._client.put(f"/v1/models/{model}/retention", json=body))

    def clean_up(self, *, dry_run: bool = True, **options: Any) -> CleanUpResponse:
        """Apply every model's retention, or tell what would go (admin)."""
        answer = self._client.post("/v1/models:clean-up", json={"dry_run": dry_run, **options})
        return CleanUpResponse.model_validate(answer)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, [], ())}


def _alias(model: str, alias: str) -> str:
    return f"/v1/models/{model}/aliases/{alias}"
