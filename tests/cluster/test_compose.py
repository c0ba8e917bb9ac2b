"""docker/compose.yaml, loaded by Docker Compose's own library: sound, restricted, and enough for the services' settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from periscope.settings import S3Settings
from periscope_dataset.settings import Settings as DatasetSettings
from periscope_embedded.seaweedfs import SeaweedFS, free_ports
from periscope_registry.settings import Settings as RegistrySettings
from periscope_training.settings import Settings as TrainingSettings
from periscope_upkeep.settings import BootstrapSettings
from tests.cluster.pretend_node import wait_for

FILE = Path(__file__).resolve().parents[2] / "docker" / "compose.yaml"
DOCKERFILE = FILE.with_name("Dockerfile.services")
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


class ComposedStore(SeaweedFS):
    """A SeaweedFS that knows whom the Compose file makes known to it."""

    def __init__(self, folder: Path, project: Mapping[str, Any]) -> None:
        super().__init__(folder)
        self._s3_json: str = project["configs"]["s3"]["content"]
        keys = json.loads(self._s3_json)["identities"][0]["credentials"][0]
        self.identity = replace(
            self.identity, access_key_id=keys["accessKey"], secret_access_key=keys["secretKey"]
        )

    def prepare(self) -> None:
        super().prepare()
        (self.folder / "s3.json").write_text(self._s3_json)


def moved(environment: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """A container's environment with its addresses and folders as they are on this machine."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = {**os.environ, "PATH": path, **environment}
    for name in environment:
        for inside, here in places.items():
            found[name] = found[name].replace(inside, here)
    return found


def is_healthy(service: Mapping[str, Any], port: int) -> bool:
    """What the service's health check says, asked at a port of this machine."""
    *words, program = service["healthcheck"]["test"][1:]
    asked = [*words, program.replace(":8001", f":{port}")]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_the_programs_start_as_the_file_says_and_its_health_checks_pass(
    project: dict[str, Any], tmp_path: Path
) -> None:
    """All but the containers: commands, variables, identities and probes, on this machine's ports."""
    store, services = ComposedStore(tmp_path / "store", project), project["services"]
    ports = dict(zip(("probes", *SERVICES), free_ports(4), strict=True))
    hosts = {f"{name}:8000": f"127.0.0.1:{ports[name]}" for name in SERVICES}
    places = {**hosts, "http://store:8333": store.endpoint, "http://workstation.local:8333": store.endpoint}
    (entrypoint,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    store.start()
    try:
        store.wait_ready()
        bootstrap = services["bootstrap"]
        subprocess.run(
            bootstrap["entrypoint"], env=moved(bootstrap["environment"], places), check=True, timeout=60
        )
        for name in SERVICES:
            own = {"0.0.0.0:8000": hosts[f"{name}:8000"], "0.0.0.0:8001": f"127.0.0.1:{ports['probes']}"}
            environ = moved(services[name]["environment"], {**places, **own, "/work": str(tmp_path / name)})
            program = [*json.loads(entrypoint), *services[name]["command"]]
            process = subprocess.Popen(program, env=environ)
            try:
                wait_for(
                    f"{name} is healthy",
                    lambda service=services[name]: is_healthy(service, ports["probes"]),
                    60,
                )
                assert process.poll() is None  # So it is this process that answers.
            finally:
                process.terminate()
                process.wait(60)
    finally:
        store.kill()
