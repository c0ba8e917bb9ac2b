"""Fixtures that many tests share: the store in memory, and the real S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS, StoreNotStarted
from tests.fakes import MemoryStore

BUCKETS = 2000


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A real S3 server for the whole run."""
    server = _start_seaweedfs(tmp_path_factory)
    try:
        yield server
    finally:
        server.kill()


def _start_seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> SeaweedFS:
    """A server with room for each test's own bucket, however small the disk is."""
    for last_try in (False, False, True):
        server = SeaweedFS(tmp_path_factory.mktemp("seaweedfs"), max_volumes=BUCKETS)
        server.start()
        try:
            server.wait_ready()
        except StoreNotStarted:
            # Another test process may have taken a port between choosing and binding it.
            server.kill()
            if last_try:
                raise
        else:
            return server
    raise AssertionError


@pytest.fixture
def s3_bucket(seaweedfs: SeaweedFS) -> str:
    """A fresh bucket on the real server."""
    bucket = f"test-{secrets.token_hex(6)}"
    seaweedfs.make_bucket(bucket)
    return bucket


@pytest.fixture
def s3_store(seaweedfs: SeaweedFS, s3_bucket: str) -> S3Store:
    """The real store on a fresh bucket."""
    return S3Store(seaweedfs.settings(s3_bucket))


@pytest.fixture
def s3_environ(seaweedfs: SeaweedFS, s3_bucket: str) -> dict[str, str]:
    """Variables with which a service finds the fresh bucket."""
    return seaweedfs.environ(s3_bucket)
