"""What one process of the registry needs to know, read from the environment once at start."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from periscope.settings import whole_number


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

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raise SettingsError naming the variable that makes no sense."""
        return cls(
            admin_token=environ.get("PERISCOPE_ADMIN_TOKEN") or None,
            scratch_dir=Path(environ.get("PERISCOPE_WORK_DIR") or tempfile.gettempdir()).absolute(),
            max_zip_bytes=whole_number(environ, "PERISCOPE_MAX_ZIP_BYTES", cls.max_zip_bytes),
            poll_interval_s=whole_number(environ, "PERISCOPE_POLL_INTERVAL_S", cls.poll_interval_s),
            download_expires_s=whole_number(environ, "PERISCOPE_DOWNLOAD_EXPIRES_S", cls.download_expires_s),
        )
