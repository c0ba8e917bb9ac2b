"""``periscope models`` and ``periscope pull``."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from periscope_cli.connection import Session, pages
from periscope_cli.console import size_text, table
from periscope_cli.failures import CommandFailed

REFERENCE = re.compile(
    r"(?P<model>[a-z0-9][a-z0-9._-]{0,62})(?:@(?P<alias>[a-z0-9][a-z0-9._-]{0,62})|:(?P<version>[1-9][0-9]*))?"
)

Document = dict[str, Any]


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


def run_list(session: Session, _: Namespace) -> None:
    """``periscope models``."""
    items = list(pages(session.registry, "/v1/models"))
    rows = [
        (item["name"], item.get("latest_version"), item.get("description"), item.get("created_at"))
        for item in items
    ]
    session.console.result({"items": items}, table(("NAME", "LATEST", "DESCRIPTION", "CREATED"), rows))


def run_show(session: Session, arguments: Namespace) -> None:
    """``periscope models show``."""
    path = f"/v1/models/{arguments.model}"
    model = session.registry.get(path)
    versions = list(pages(session.registry, f"{path}/versions"))
    rows = [
        (
            item["version"],
            size_text(item["zip"]["size_bytes"]),
            item["zip"]["sha256"][:12],
            item["created_at"],
        )
        for item in versions
    ]
    aliases = _aliases_text(model.get("aliases"))
    text = "\n".join(
        [f"{model['name']}  {model.get('description') or ''}".rstrip(), f"aliases: {aliases}", "",
         table(("VERSION", "SIZE", "SHA-256", "CREATED"), rows)]
    )  # fmt: skip
    session.console.result({"model": model, "versions": versions}, text)


def run_pull(session: Session, arguments: Namespace) -> None:
    """``periscope pull``."""
    release = _release_for(session, arguments.for_device) if arguments.for_device else None
    version = find_version(session, arguments.model)
    number, offered = version["version"], version["zip"]
    name = arguments.model.model
    target: Path = arguments.output or Path(f"{name}-{number}.zip")
    if release is not None:
        _require_released(release, arguments.for_device, version)
    pull(session, name, version, target)
    if release is not None:
        target.with_name(f"{target.name}.release.json").write_text(json.dumps(release) + "\n")
    document = {"model": name, "version": number, "file": str(target), **_zip_facts(offered)}
    session.console.result(document, str(target))


def _release_for(session: Session, device: str) -> Document:
    release: Document = session.registry.get(f"/v1/devices/{device}/release")
    return release


def _require_released(release: Document, device: str, version: Document) -> None:
    """Raise CommandFailed where the device should have another zip than the one asked for."""
    told = json.loads(release["release"]["document"])
    if told["zip"]["sha256"] != version["zip"]["sha256"]:
        raise CommandFailed(
            f"{device} should have {told['model']} version {told['version']}; "
            f"change that with `periscope devices set`, or pull {told['model']}:{told['version']}"
        )


def find_version(session: Session, reference: ModelReference) -> Document:
    """The version that a reference means; an alias is looked up, ``latest`` where neither is given."""
    path = f"/v1/models/{reference.model}"
    number = reference.version
    if number is None:
        number = session.registry.get(f"{path}/aliases/{reference.alias or 'latest'}")["version"]
    version: Document = session.registry.get(f"{path}/versions/{number}")
    return version


def pull(session: Session, model: str, version: Document, target: Path) -> None:
    """Download a version's zip to ``target``, going on where an earlier call stopped.

    Raises:
        CommandFailed: the folder cannot be written to.
        DownloadCorrupt: the SHA-256 is not the registry's.
    """
    sha256 = version["zip"]["sha256"]
    # The unfinished file carries the hash, so that a rest of another version is never continued.
    unfinished = target.with_name(f"{target.name}.{sha256[:12]}")
    progress = session.progress()
    try:
        session.registry.download(
            f"/v1/models/{model}/versions/{version['version']}/zip",
            unfinished,
            sha256,
            progress.bytes_done("download"),
        )
        unfinished.replace(target)
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error}") from error
    finally:
        progress.end()


def _zip_facts(offered: Document) -> Document:
    return {"sha256": offered["sha256"], "size_bytes": offered["size_bytes"]}


def _aliases_text(aliases: Any) -> str:
    if isinstance(aliases, dict):
        pairs = [f"{name} -> {_number(told)}" for name, told in sorted(aliases.items())]
    else:
        pairs = [f"{told['alias']} -> {told['version']}" for told in aliases or []]
    return ", ".join(pairs) or "none"


def _number(told: Any) -> Any:
    return told["version"] if isinstance(told, dict) else told
