"""The registry on a store in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.periscope_registry.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)
