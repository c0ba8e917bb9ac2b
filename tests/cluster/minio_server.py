"""A real MinIO, on which the bootstrap makes users and policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import requests

from periscope.settings import S3Settings
from tests.cluster.sandbox import Sandbox, free_ports

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class MinioServer:
    """One server, and its administrator's key."""

    admin: S3Settings

    @classmethod
    def start(
        cls, sandbox: Sandbox, program: Path, host: str = "127.0.0.1", bucket: str = "periscope"
    ) -> MinioServer:
        """Start one that ends with the sandbox."""
        (port,) = free_ports(1, host)
        url = f"http://{host}:{port}"
        admin = S3Settings(url, url, bucket, "root-of-tests", "secret-of-root-of-tests")
        environ = {
            "MINIO_ROOT_USER": admin.access_key_id,
            "MINIO_ROOT_PASSWORD": admin.secret_access_key,
            "MINIO_BROWSER": "off",
        }
        argv = [str(program), "server", "--address", f"{host}:{port}", str(sandbox.folder / "minio-data")]
        sandbox.start("minio", argv, environ)
        sandbox.wait_until("MinIO is ready", lambda: _is_ready(url), READY_TIMEOUT_S, "minio")
        return cls(admin)

    def as_user(self, access_key_id: str, secret_access_key: str) -> S3Settings:
        """The same bucket by another key."""
        return replace(self.admin, access_key_id=access_key_id, secret_access_key=secret_access_key)


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/minio/health/ready", timeout=2).ok
    except requests.RequestException:
        return False
