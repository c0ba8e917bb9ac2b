"""docker/compose.yaml, loaded by Docker Compose's own library: sound, restricted, and enough for the services' settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from periscope.settings import S3Settings
from periscope_dataset.settings import Settings as DatasetSettings
from periscope_registry.settings import Settings as RegistrySettings
from periscope_training.settings import Settings as TrainingSettings
from periscope_upkeep.settings import BootstrapSettings

FILE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"
SERVICES = ("dataset", "training", "registry")
DIGEST = "@sha256:" + "0" * 64
GIVEN = {
    "PERISCOPE_HOST": "workstation.local", "PERISCOPE_ADMIN_TOKEN": "admin", "PERISCOPE_JOB_TOKEN_SECRET": "jobs",
    "S3_ACCESS_KEY_ID": "key", "S3_SECRET_ACCESS_KEY": "secret",
    "PYTHON_IMAGE": f"python{DIGEST}", "SEAWEEDFS_IMAGE": f"seaweedfs{DIGEST}",
}  # fmt: skip


def load(program: Path, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **given}
    return subprocess.run([str(program), str(FILE)], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(compose_program: Path) -> dict[str, Any]:
    done = load(compose_program, GIVEN)
    assert (done.returncode, done.stderr) == (0, "")
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_every_container_of_ours_is_restricted(project: dict[str, Any]) -> None:
    assert set(project["services"]) == {"store", "bootstrap", *SERVICES}
    for name, service in project["services"].items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name != "store":
            assert (service["read_only"], service["user"]) == (True, "10001:10001")


def test_images_come_by_digest(project: dict[str, Any]) -> None:
    assert project["services"]["store"]["image"].endswith(DIGEST)
    for name in ("bootstrap", *SERVICES):
        build = project["services"][name]["build"]
        assert build["args"]["BASE"].endswith(DIGEST)
        assert (Path(build["context"]) / build["dockerfile"]).exists()


def test_the_environment_is_enough_for_every_program(project: dict[str, Any]) -> None:
    environ = {
        name: service["environment"] for name, service in project["services"].items() if name != "store"
    }
    BootstrapSettings.from_environ(environ["bootstrap"])
    DatasetSettings.from_environ(environ["dataset"])
    RegistrySettings.from_environ(environ["registry"])
    training = TrainingSettings.from_environ(environ["training"])

    assert training.kubernetes is None
    assert training.own_url == "http://training:8000"
    for name in SERVICES:
        assert S3Settings.from_environ(environ[name]).public_endpoint == "http://workstation.local:8333"
        assert f"periscope_{name}.app:" in project["services"][name]["command"][0]


def test_the_store_knows_the_key_that_the_services_have(project: dict[str, Any]) -> None:
    identities = json.loads(project["configs"]["s3"]["content"])["identities"]

    assert identities[0]["credentials"] == [{"accessKey": "key", "secretKey": "secret"}]
    assert project["services"]["store"]["configs"][0]["target"] == "/etc/seaweedfs/s3.json"


def test_only_trainings_see_the_gpus(project: dict[str, Any]) -> None:
    assert {name for name, service in project["services"].items() if service.get("gpus")} == {"training"}
    assert "trainer" in project["services"]["training"]["build"]["args"]["EXTRAS"]


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_a_missing_setting_is_named(compose_program: Path, missing: str) -> None:
    done = load(compose_program, {name: value for name, value in GIVEN.items() if name != missing})

    assert done.returncode == 1
    assert re.search(rf"required variable {missing} is missing a value", done.stderr)
