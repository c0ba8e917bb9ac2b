from __future__ import annotations

import pytest

from tests.launcher_contract import LauncherContract, StartWorld
from tests.unit.periscope_training.fake_launcher import FakeLauncher, World


class TestFakeLauncher(LauncherContract):
    @pytest.fixture
    def start_world(self) -> StartWorld:
        def start(behaviour: str):
            world = World(behaviour)
            return lambda: FakeLauncher(world)

        return start
