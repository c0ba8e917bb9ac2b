"""The keys that the embedded default makes by itself."""

from __future__ import annotations

from pathlib import Path

from periscope_embedded.release_keys import release_keys
from periscope_registry.settings import Settings


def test_keys_are_made_once_and_fit_the_registry(tmp_path: Path) -> None:
    first = Settings.from_environ(release_keys(tmp_path))
    second = Settings.from_environ(release_keys(tmp_path))

    assert first.release_key is not None
    assert second.release_key is not None
    assert first.release_key.key_id == second.release_key.key_id
    assert first.first_root is not None
    assert first.release_key.key_id in str(first.first_root["document"])
    assert (tmp_path / "release-key.pem").stat().st_mode & 0o777 == 0o600


def test_whoever_is_killed_before_the_root_stands_makes_all_anew(tmp_path: Path) -> None:
    release_keys(tmp_path)
    (tmp_path / "root-1.json").unlink()
    settings = Settings.from_environ(release_keys(tmp_path))

    assert settings.release_key is not None
    assert settings.first_root is not None
    assert settings.release_key.key_id in str(settings.first_root["document"])
