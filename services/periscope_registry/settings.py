"""What one process of the registry needs to know, read from the environment once at start."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from periscope.roots import RootRefused, check_root
from periscope.settings import SettingsError, whole_number
from periscope.signing import KeyUnusable, PrivateKey


@dataclass(frozen=True)
class Settings:
    """The registry's own settings; the store's are read by its adapter."""

    admin_token: str | None
    """A token that is an administrator's without being stored; the first one must come from somewhere."""

    scratch_dir: Path
    """Where zips are checked; needs room for a few of the largest."""

    max_zip_bytes: int = 1 << 30
    """Larger uploads are refused before they begin."""

    poll_interval_s: int = 60
    """How often devices are told to ask."""

    download_expires_s: int = 900
    """How long a download address is good; a device asks for a fresh one after that."""

    release_key: PrivateKey | None = None
    """What signs releases; without it devices get none, and those with a pinned root take no model."""

    clean_up_every_h: int = 0
    """Hours between clean-ups of versions; 0: only when someone asks for one."""

    trash_grace_h: int = 168
    """How long a version in the trash can be restored."""

    first_root: Mapping[str, Any] | None = None
    """Root document 1, put in place at start where there is none."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raise SettingsError naming the variable that makes no sense."""
        return cls(
            admin_token=environ.get("PERISCOPE_ADMIN_TOKEN") or None,
            scratch_dir=Path(environ.get("PERISCOPE_WORK_DIR") or tempfile.gettempdir()).absolute(),
            max_zip_bytes=whole_number(environ, "PERISCOPE_MAX_ZIP_BYTES", cls.max_zip_bytes),
            poll_interval_s=whole_number(environ, "PERISCOPE_POLL_INTERVAL_S", cls.poll_interval_s),
            download_expires_s=whole_number(environ, "PERISCOPE_DOWNLOAD_EXPIRES_S", cls.download_expires_s),
            clean_up_every_h=whole_number(environ, "PERISCOPE_CLEAN_UP_EVERY_H", cls.clean_up_every_h),
            trash_grace_h=whole_number(environ, "PERISCOPE_TRASH_GRACE_H", cls.trash_grace_h),
            release_key=_release_key(environ.get("PERISCOPE_RELEASE_KEY_FILE")),
            first_root=_first_root(environ.get("PERISCOPE_ROOT_FILE")),
        )


def _release_key(path: str | None) -> PrivateKey | None:
    if not path:
        return None
    try:
        return PrivateKey.from_pem(Path(path).read_bytes())
    except (OSError, KeyUnusable) as error:
        raise SettingsError(f"PERISCOPE_RELEASE_KEY_FILE: {path} cannot be used: {error}") from error


def _first_root(path: str | None) -> Mapping[str, Any] | None:
    if not path:
        return None
    try:
        signed: Mapping[str, Any] = json.loads(Path(path).read_text())
        check_root(signed, None)
    except (OSError, ValueError, KeyError, TypeError, RootRefused) as error:
        raise SettingsError(f"PERISCOPE_ROOT_FILE: {path} cannot be used: {error}") from error
    return signed
