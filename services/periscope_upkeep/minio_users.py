"""Users and policies of a MinIO server, by its administration API. Only this module knows the MinIO SDK."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

from periscope.settings import S3Settings
from periscope_upkeep.settings import UserKey

TIMEOUT_S = 30.0
RETRIES = urllib3.Retry(total=3, backoff_factor=0.5, status_forcelist=[502, 503, 504])


class UsersRefused(Exception):
    """The server does not make users: it is away, is no MinIO, or the key is no administrator's."""


class MinioUsers:
    """The users of one server."""

    def __init__(self, admin: S3Settings) -> None:
        url = urlsplit(admin.endpoint)
        self._endpoint = admin.endpoint
        self._admin = MinioAdmin(
            endpoint=url.netloc,
            credentials=StaticProvider(admin.access_key_id, admin.secret_access_key),
            region=admin.region,
            secure=url.scheme == "https",
            http_client=urllib3.PoolManager(timeout=TIMEOUT_S, retries=RETRIES),
        )

    def ensure(self, key: UserKey, policy_name: str, policy: dict[str, Any]) -> None:
        """Let a user be there with this secret and this policy alone. Raises UsersRefused."""
        try:
            self._admin.policy_add(policy_name, policy=policy)
            self._admin.user_add(key.access_key_id, key.secret_access_key)
            self._admin.policy_set(policy_name, user=key.access_key_id)
        except (MinioAdminException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UsersRefused(f"{self._endpoint} makes no user for {policy_name}: {error}") from error
