from __future__ import annotations

from pathlib import Path

import pytest

from periscope.settings import SettingsError
from periscope_training.settings import DEFAULT_TRAINER_COMMAND, Settings

ENVIRON = {
    "PERISCOPE_WORK_DIR": "/tmp/work",
    "PERISCOPE_DATASET_URL": "http://d",
    "PERISCOPE_REGISTRY_URL": "http://r",
    "PERISCOPE_TRAINING_URL": "http://t/",
    "PERISCOPE_SERVICE_TOKEN": "s",
    "PERISCOPE_JOB_TOKEN_SECRET": "j",
}


def test_what_is_needed_is_enough() -> None:
    settings = Settings.from_environ(ENVIRON)

    assert (settings.work_dir, settings.own_url) == (Path("/tmp/work"), "http://t")
    assert (settings.admin_token, settings.trainer_command) == (None, DEFAULT_TRAINER_COMMAND)
    assert (settings.max_concurrent_jobs, settings.poll_s) == (1, 0.5)
    assert settings.trainer_threads >= 1


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**ENVIRON, name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERISCOPE_LAUNCHER", "magic"),
        ("PERISCOPE_MAX_CONCURRENT_JOBS", "0"),
        ("PERISCOPE_STOP_GRACE_S", "soon"),
        ("PERISCOPE_RETRY_BACKOFF_S", "-1"),
        ("PERISCOPE_POLL_S", "nan"),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ({**ENVIRON, name: value})


def test_the_training_program_may_be_another_with_arguments() -> None:
    settings = Settings.from_environ({**ENVIRON, "PERISCOPE_TRAINER_COMMAND": "/opt/run 'my trainer.py'"})

    assert settings.trainer_command == ("/opt/run", "my trainer.py")
