"""A model's zip on this machine, with its release for a robot's stick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from periscope.wire.models import VersionResponse
from periscope_cli.failures import SAME_AGAIN, CommandFailed, interruptible
from periscope_cli.session import Session

Document = dict[str, Any]


def pull(session: Session, version: VersionResponse, target: Path) -> None:
    """Download a version's zip to ``target``, going on where an earlier call stopped.

    Raises:
        CommandFailed: the folder cannot be written to.
        DownloadCorrupt: the SHA-256 is not the registry's.
    """
    progress = session.progress()
    try:
        with interruptible(SAME_AGAIN):
            session.api.models.pull(version, target, progress.bytes_done("download"))
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error}") from error
    finally:
        progress.end()


def release_for(session: Session, device: str, version: VersionResponse) -> Document:
    """What a robot needs beside this zip. Raises CommandFailed where it should have another one."""
    release = session.api.devices.release(device)
    told = json.loads(release["release"]["document"])
    if told["zip"]["sha256"] != version.zip.sha256:
        raise CommandFailed(
            f"{device} should have {told['model']} version {told['version']}; "
            f"change that with `periscope devices set`, or pull {told['model']}:{told['version']}"
        )
    return release
