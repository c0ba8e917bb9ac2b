from __future__ import annotations

from pathlib import Path

import pytest

from periscope.settings import SettingsError
from periscope_registry.settings import Settings


def test_everything_has_a_default() -> None:
    settings = Settings.from_environ({})

    assert (settings.admin_token, settings.poll_interval_s) == (None, 60)
    assert settings.scratch_dir.is_dir()


def test_the_environment_decides() -> None:
    environ = {
        "PERISCOPE_ADMIN_TOKEN": "t",
        "PERISCOPE_WORK_DIR": "/scratch",
        "PERISCOPE_MAX_ZIP_BYTES": "5",
        "PERISCOPE_POLL_INTERVAL_S": "6",
        "PERISCOPE_DOWNLOAD_EXPIRES_S": "7",
    }

    assert Settings.from_environ(environ) == Settings("t", Path("/scratch"), 5, 6, 7)


def test_nonsense_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="PERISCOPE_POLL_INTERVAL_S"):
        Settings.from_environ({"PERISCOPE_POLL_INTERVAL_S": "often"})
