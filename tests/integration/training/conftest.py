"""A store for these tests alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from periscope_embedded.seaweedfs import SeaweedFS
from tests.conftest import running_seaweedfs


@pytest.fixture(scope="package")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A server of their own: a bucket takes volumes of it, and all tests together would want more than it has."""
    with running_seaweedfs(tmp_path_factory) as server:
        yield server
