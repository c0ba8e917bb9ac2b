"""Makes the bucket ready: itself, its lifecycle, and on MinIO the users with their policies.

Every step says how things shall be, so that a second run changes nothing and a broken one is run again.
"""

from __future__ import annotations

from collections.abc import Callable

from periscope import keys
from periscope.access import services_policy, trainer_policy
from periscope.s3 import S3Store
from periscope_upkeep.minio_users import MinioUsers
from periscope_upkeep.settings import BootstrapSettings

UPLOADS_EXPIRE_DAYS = 30
"""An upload is taken in or given up within days; what is left of it then belongs to nobody."""
PARTS_EXPIRE_DAYS = 7
"""The presigned addresses of parts are good for one day."""


def bootstrap(settings: BootstrapSettings, tell: Callable[[str], None]) -> None:
    """Do all of it.

    Raises:
        StoreUnavailable: the store does not answer, or refuses this key.
        UsersRefused: MinIO does not make the users.
    """
    store, bucket = S3Store(settings.store), settings.store.bucket
    store.make_bucket()
    tell(f"bucket {bucket}: there")
    store.expire(keys.UPLOADS, objects_after_days=UPLOADS_EXPIRE_DAYS, parts_after_days=PARTS_EXPIRE_DAYS)
    tell(f"lifecycle: {keys.UPLOADS} is emptied after {UPLOADS_EXPIRE_DAYS} days")
    if settings.services is None or settings.trainer is None:
        tell("users: none asked for")
        return
    users = MinioUsers(settings.store)
    users.ensure(settings.services, f"{bucket}-services", services_policy(bucket))
    users.ensure(settings.trainer, f"{bucket}-trainer", trainer_policy(bucket))
    tell("users: services and trainer, each with its policy")
