"""Registries on one fresh bucket of the real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from periscope_embedded.release_keys import release_keys
from tests.integration.registry.server import Registry


@pytest.fixture
def start_registry(s3_environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Registry]]:
    """Starts a replica each time it is called."""
    (tmp_path / "keys").mkdir()
    with ExitStack() as stack:

        def start() -> Registry:
            registry = Registry({**s3_environ, **release_keys(tmp_path / "keys")}, tmp_path)
            stack.callback(registry.close)
            registry.start()
            return registry

        yield start


@pytest.fixture
def registry(start_registry: Callable[[], Registry]) -> Registry:
    return start_registry()
