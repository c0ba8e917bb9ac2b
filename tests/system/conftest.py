"""The embedded default, up once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.loop import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack.serving(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
