"""What one process of the dataset service needs to know, read from the environment once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from periscope.settings import required, whole_number
from periscope_dataset.shards import SHARD_BYTES


@dataclass(frozen=True)
class Settings:
    """The dataset service's own settings; the store's are read by its adapter."""

    work_dir: Path
    """Local scratch: an archive and its files while it is ingested. One service a folder."""

    admin_token: str | None
    """A token that is an administrator's without being stored."""

    lease_ttl_s: int = 30
    """After this time without a sign of life, another replica takes over the ingests."""

    ingests_at_once: int = 2
    """Ingests that one replica works at together."""

    shard_bytes: int = SHARD_BYTES
    """A shard is closed when it has grown to this."""

    quota_bytes: int | None = None
    """What all versions and uploads may take in the store; None sets no limit."""

    collect_garbage_every_h: int = 0
    """Hours between collections of blobs that nothing names any more; 0: only when an administrator asks."""

    garbage_grace_h: int = 168
    """Hours that a blob without a name is kept."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raise SettingsError naming the variable that is missing or makes no sense."""
        return cls(
            work_dir=Path(required(environ, "PERISCOPE_WORK_DIR")).absolute(),
            admin_token=environ.get("PERISCOPE_ADMIN_TOKEN") or None,
            lease_ttl_s=whole_number(environ, "PERISCOPE_LEASE_TTL_S", cls.lease_ttl_s),
            ingests_at_once=whole_number(environ, "PERISCOPE_INGESTS_AT_ONCE", cls.ingests_at_once),
            shard_bytes=whole_number(environ, "PERISCOPE_SHARD_BYTES", cls.shard_bytes),
            collect_garbage_every_h=whole_number(
                environ, "PERISCOPE_COLLECT_GARBAGE_EVERY_H", cls.collect_garbage_every_h
            ),
            garbage_grace_h=whole_number(environ, "PERISCOPE_GARBAGE_GRACE_H", cls.garbage_grace_h),
            quota_bytes=whole_number(environ, "PERISCOPE_DATASET_QUOTA_BYTES", 0) or None,
        )
