"""What the bootstrap reads from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from periscope.settings import S3Settings, SettingsError, required

MIN_SECRET_LETTERS = 8
"""MinIO takes no shorter ones."""


@dataclass(frozen=True)
class UserKey:
    """The key of one user of the store."""

    access_key_id: str
    secret_access_key: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], prefix: str) -> UserKey:
        """Read ``<prefix>_ACCESS_KEY_ID`` and its secret. Raises SettingsError naming what is missing."""
        key = cls(
            required(environ, f"{prefix}_ACCESS_KEY_ID"), required(environ, f"{prefix}_SECRET_ACCESS_KEY")
        )
        if len(key.secret_access_key) < MIN_SECRET_LETTERS:
            raise SettingsError(f"{prefix}_SECRET_ACCESS_KEY must have {MIN_SECRET_LETTERS} letters at least")
        return key


@dataclass(frozen=True)
class BootstrapSettings:
    """Whom the bootstrap is to make, and with whose rights: those of ``store``, an administrator's."""

    store: S3Settings
    services: UserKey | None
    """The services' user; None where users are made elsewhere."""
    trainer: UserKey | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> BootstrapSettings:
        """Read the variables; ``PERISCOPE_MAKE_USERS=minio`` asks for users. Raises SettingsError."""
        store, wish = S3Settings.from_environ(environ), environ.get("PERISCOPE_MAKE_USERS", "")
        if wish not in ("", "minio"):
            raise SettingsError(f"PERISCOPE_MAKE_USERS must be minio or empty, not {wish!r}")
        if not wish:
            return cls(store, None, None)
        services = UserKey.from_environ(environ, "SERVICES")
        trainer = UserKey.from_environ(environ, "TRAINER")
        if len({store.access_key_id, services.access_key_id, trainer.access_key_id}) < 3:
            raise SettingsError("administrator, services and trainer need three different access keys")
        return cls(store, services, trainer)
