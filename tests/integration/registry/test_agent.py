"""The real agent, also under Python 3.6 where there is one, against the real registry and store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from periscope_embedded.release_keys import release_keys
from tests.agent.run_all import find_python36
from tests.integration.gunicorn_service import ROOT
from tests.integration.registry.server import Registry
from tests.unit.periscope_registry.zips import model_files, model_zip

pytestmark = pytest.mark.real_store

AGENT = ROOT / "services" / "jetson_agent" / "jetson_agent.py"
PYTHONS = [sys.executable, *filter(None, [find_python36()])]


class Robot:
    """A robot's disk and its agent."""

    def __init__(self, folder: Path, registry: Registry, python: str) -> None:
        self.folder = folder
        self.root = folder / "root"
        self._python = python
        self.registry = registry
        made = registry.client.post(
            "/v1/tokens", json={"role": "device", "name": "sub-1", "device_id": "sub-1"}
        )
        self.token_id = made["id"]
        (folder / "token").write_text(made["token"])
        self.configure()

    def configure(self, **changes: Any) -> None:
        config = {
            "registry_url": self.registry.url,
            "device": "sub-1",
            "token_file": str(self.folder / "token"),
            "root": str(self.root),
            "root_file": str(self.folder / "keys" / "root-1.json"),
            "spare_bytes": 0,
            **changes,
        }
        (self.folder / "config.json").write_text(json.dumps(config))

    def agent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self._python, "-B", str(AGENT), "--config", str(self.folder / "config.json"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def version_in_use(self) -> int:
        return int(json.loads(self.agent("status").stdout)["version"])

    def file_in_use(self, name: str) -> bytes:
        return (self.root / "current" / name).read_bytes()


@pytest.fixture(params=PYTHONS, ids=["this", "3.6"][: len(PYTHONS)])
def robot(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path) -> Robot:
    """A registered robot; versions 1 and 2 are published and the alias points to 1."""
    for seed in (1, 2):
        path = tmp_path / f"{seed}.zip"
        path.write_bytes(model_zip(seed, 2 << 20))
        registry.publish("buoys", path)
    registry.client.put("/v1/models/buoys/aliases/latest", json={"version": 1})
    registry.client.put("/v1/devices/sub-1", json={"model": "buoys", "alias": "latest"})
    return Robot(tmp_path, registry, request.param)


def point_latest_to(registry: Registry, version: int) -> None:
    registry.client.put("/v1/models/buoys/aliases/latest", json={"version": version})


def test_a_robot_follows_the_alias_forth_and_back_and_tells(robot: Robot, registry: Registry) -> None:
    for version in (1, 2, 1):
        point_latest_to(registry, version)
        done = robot.agent("once")
        assert done.returncode == 0, done.stderr
        assert robot.version_in_use() == version
        assert robot.file_in_use("ballast.bin") == model_files(version, 2 << 20)["ballast.bin"]

    reports = registry.client.get("/v1/devices/sub-1/reports")["items"]
    told = [(report["state"], report["version"]) for report in reports if report["state"] == "active"]
    assert told == [("active", 1), ("active", 2), ("active", 1)]
    assert registry.client.get("/v1/devices/sub-1")["last_contact_at"] is not None


@pytest.mark.parametrize("proxy", [False, True], ids=["store", "proxy"])
def test_a_download_goes_on_where_it_broke(robot: Robot, registry: Registry, proxy: bool) -> None:
    robot.configure(proxy=proxy)
    whole = (robot.folder / "1.zip").read_bytes()
    sha256 = registry.versions("buoys")[0]["zip"]["sha256"]
    robot.agent("status")
    (robot.root / "downloads" / f"{sha256}.part").write_bytes(whole[: 1 << 20])
    done = robot.agent("once")

    assert done.returncode == 0, done.stderr
    assert "SHA-256" not in done.stderr
    assert robot.version_in_use() == 1


def test_an_unchanged_robot_asks_and_does_nothing(robot: Robot) -> None:
    robot.agent("once")
    link = (robot.root / "current").readlink()

    assert robot.agent("once").returncode == 0
    assert (robot.root / "current").readlink() == link


def test_a_robot_whose_token_was_revoked_keeps_its_model(robot: Robot, registry: Registry) -> None:
    robot.agent("once")
    registry.client.delete(f"/v1/tokens/{robot.token_id}")
    point_latest_to(registry, 2)
    (robot.folder / "token").write_text("psc_01HZZZZZZZZZZZZZZZZZZZZZZZ_wrong")

    assert robot.agent("once").returncode == 77
    assert robot.agent("boot").returncode == 0
    assert robot.version_in_use() == 1


def test_a_robot_outlives_its_registry(robot: Robot, registry: Registry) -> None:
    robot.agent("once")
    registry.kill()
    robot.configure(boot_timeout_s=1)

    assert robot.agent("boot").returncode == 0
    assert robot.agent("once").returncode == 69
    assert robot.version_in_use() == 1


def test_a_rollout_ends_well_when_the_robot_confirms_and_pauses_when_it_goes_back(
    robot: Robot, registry: Registry
) -> None:
    registry.client.put("/v1/device-groups/pool", json={"model": "buoys", "version": 1})
    registry.client.put("/v1/devices/sub-1", json={"group": "pool"})
    robot.agent("once")

    def roll_out(version: int) -> None:
        plan = {"version": version, "stages": [{"percent": 100}]}
        registry.client.post("/v1/device-groups/pool:rollout", json=plan)
        robot.agent("once")
        assert robot.version_in_use() == version

    def state() -> Any:
        return registry.client.get("/v1/device-groups/pool")["rollout"]["state"]

    roll_out(2)
    robot.configure(healthy_s=0)
    robot.agent("once")
    assert state() == "SUCCEEDED"

    third = robot.folder / "3.zip"
    third.write_bytes(model_zip(3, 1 << 20))
    registry.publish("buoys", third)
    robot.configure()
    roll_out(3)
    robot.agent("rollback")
    robot.agent("once")
    assert (robot.version_in_use(), state()) == (2, "PAUSED")


def test_a_release_that_another_registry_signed_is_refused(robot: Robot, registry: Registry) -> None:
    robot.agent("once")
    point_latest_to(registry, 2)
    (robot.folder / "others").mkdir()
    release_keys(robot.folder / "others")
    robot.configure(root_file=str(robot.folder / "others" / "root-1.json"))
    done = robot.agent("once")

    assert done.returncode == 65, done.stderr
    assert robot.version_in_use() == 1
    assert registry.client.get("/v1/devices/sub-1/reports")["items"][-1]["reason"] == "signature"


def test_a_rotated_key_reaches_the_robot_with_its_root(robot: Robot, registry: Registry) -> None:
    robot.agent("once")
    keys = robot.folder / "keys"
    rotate = [sys.executable, "-m", "periscope_cli", "keys", "rotate", str(keys / "root-1.json"), "--revoke"]
    subprocess.run([*rotate, "--key", str(keys / "root-key-1.pem")], check=True, capture_output=True)
    registry.client.put("/v1/roots/2", json=json.loads((keys / "root-2.json").read_text()))
    (keys / "release-key-2.pem").replace(keys / "release-key.pem")
    registry.kill()
    registry.start()
    point_latest_to(registry, 2)
    done = robot.agent("once")

    assert done.returncode == 0, done.stderr
    assert robot.version_in_use() == 2


def test_a_zip_for_one_robot_is_installed_from_a_stick(robot: Robot, registry: Registry) -> None:
    stick = robot.folder / "stick.zip"
    stick.write_bytes((robot.folder / "1.zip").read_bytes())
    beside = registry.client.get("/v1/devices/sub-1/release")
    Path(f"{stick}.release.json").write_text(json.dumps(beside))
    registry.kill()
    done = robot.agent("install", str(stick))

    assert done.returncode == 0, done.stderr
    assert robot.version_in_use() == 1
