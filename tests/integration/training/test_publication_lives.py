"""Publications under the real training service and the real registry, on the real store."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detectnet.bundle import check_bundle
from periscope.client import ServiceProblem
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS
from periscope_training.http_registry import HttpRegistry
from periscope_training.registry import RegistryRefused, RegistryUnavailable, UploadGone
from tests.integration.training.running_service import RunningGunicorn, RunningTraining, dataset_stub
from tests.unit.periscope_training.epoch_files import CAFFEMODEL, HEIGHT, WIDTH, epoch_files, save_epoch_files

pytestmark = pytest.mark.real_store


class Press:
    """A training service and a registry on one bucket, and a job with one epoch that can be published."""

    def __init__(self, store: S3Store, training: RunningTraining, registry: RunningGunicorn) -> None:
        self.store = store
        self.training = training
        self.registry = registry

    def job(self, files: dict[str, bytes]) -> str:
        body = {"name": "steps=5", "dataset": "pool", "input": {"width": WIDTH, "height": HEIGHT}}
        job_id = str(self.training.client.post("/v1/jobs", json=body)["id"])
        self.training.wait_for_state(job_id, "SUCCEEDED")
        described = save_epoch_files(self.store, job_id, files)
        Documents(self.store).update("checkpoints", job_id, lambda body: self._with_files(body, described))
        return job_id

    def _with_files(self, body: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
        return {**body, "epochs": [{**entry, "files": described} for entry in body["epochs"]]}

    def publish(self, job_id: str, model: str) -> str:
        path = f"/v1/jobs/{job_id}/epochs/best:publish"
        answer = self.training.client.post(path, json={"model": model, "aliases": ["latest", "prod"]})
        return str(answer["id"])

    def wait(self, publication_id: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def is_final() -> bool:
            seen.update(self.training.client.get(f"/v1/publications/{publication_id}"))
            return seen["state"] in ("SUCCEEDED", "FAILED")

        self.training.wait_for(is_final, lambda: str(seen))
        return seen

    def has_begun(self, publication_id: str, step: str) -> bool:
        """Whether the training service's log says so."""
        lines = self.training.log_path.read_text().splitlines()
        return any(publication_id in line and f"{step}(" in line for line in lines)

    def versions(self, model: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.registry.client.get(f"/v1/models/{model}/versions")["items"]
        return items

    def alias(self, model: str, alias: str) -> int:
        return int(self.registry.client.get(f"/v1/models/{model}/aliases/{alias}")["version"])


@pytest.fixture(scope="module")
def press(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Press]:
    bucket = f"test-{secrets.token_hex(6)}"
    seaweedfs.make_bucket(bucket)
    folder, environ = tmp_path_factory.mktemp("publishing"), seaweedfs.environ(bucket)
    registry = RunningGunicorn("periscope_registry", environ, folder)
    with dataset_stub() as dataset_url:
        training = RunningTraining(environ, folder, dataset_url, registry.url)
        try:
            registry.start()
            training.start()
            yield Press(S3Store(seaweedfs.settings(bucket)), training, registry)
        finally:
            training.close()
            registry.close()


@pytest.fixture(scope="module")
def job_id(press: Press) -> str:
    return press.job(epoch_files())


@pytest.fixture
def http_registry(press: Press) -> HttpRegistry:
    return HttpRegistry(press.registry.client)


def test_an_epoch_becomes_a_version_that_a_robot_can_load(press: Press, job_id: str, tmp_path: Path) -> None:
    done = press.wait(press.publish(job_id, "buoys"))

    assert (done["state"], done["version"], done["warnings"]) == ("SUCCEEDED", 1, [])
    assert done["parity"]["coverage"] < 1e-4
    assert (press.alias("buoys", "latest"), press.alias("buoys", "prod")) == (1, 1)
    (version,) = press.versions("buoys")
    assert version["lineage"]["job_id"] == job_id
    press.registry.client.download("/v1/models/buoys/versions/1/zip", tmp_path / "zip", done["zip"]["sha256"])
    assert check_bundle(tmp_path / "zip").labels == ("buoy", "gate")


def test_the_same_epoch_published_again_is_the_same_version(press: Press, job_id: str) -> None:
    first, second = (press.wait(press.publish(job_id, "again")) for _ in range(2))

    assert (first["version"], second["version"], len(press.versions("again"))) == (1, 1, 1)


def test_a_registered_version_becomes_weights_for_the_next_job(press: Press, job_id: str) -> None:
    done = press.wait(press.publish(job_id, "teacher"))
    asked = {"name": "taught", "model": "teacher", "version": done["version"]}

    made = press.training.client.post("/v1/pretrained-models", json=asked)

    assert (made["format"], made["layers"]) == ("caffemodel", 59)
    assert (
        press.store.get(f"blobs/sha256/{made['sha256'][:2]}/{made['sha256']}").body
        == epoch_files()[CAFFEMODEL]
    )
    with pytest.raises(ServiceProblem, match="no version 9"):
        press.training.client.post("/v1/pretrained-models", json={**asked, "version": 9, "name": "other"})


@pytest.mark.parametrize("step", ["Build", "Offer", "Finalize", "SetAliases"])
def test_a_publisher_killed_on_its_way_makes_one_version(press: Press, job_id: str, step: str) -> None:
    model = f"killed-{step.lower()}"
    publication_id = press.publish(job_id, model)
    press.training.wait_for(lambda: press.has_begun(publication_id, step))
    time.sleep(random.uniform(0, 0.1))
    press.training.kill()
    press.training.start()
    done = press.wait(publication_id)

    assert (done["state"], done["version"]) == ("SUCCEEDED", 1)
    assert len(press.versions(model)) == 1
    assert (press.alias(model, "latest"), press.alias(model, "prod")) == (1, 1)


def test_an_epoch_whose_network_was_changed_is_refused_with_numbers(press: Press) -> None:
    other = {**epoch_files(), "parity.npz": epoch_files(coverage_bias=-3.0)["parity.npz"]}
    failed = press.wait(press.publish(press.job(other), "wrong"))

    assert failed["state"] == "FAILED"
    assert "OpenCV's coverage differ from PyTorch's by up to 0.9" in failed["reason"]
    assert failed["parity"]["coverage"] > 0.5


def test_a_registry_that_comes_back_gets_the_publication(press: Press, job_id: str) -> None:
    press.registry.kill()
    publication_id = press.publish(job_id, "patience")
    press.training.wait_for(
        lambda: press.training.client.get(f"/v1/publications/{publication_id}")["state"] == "RUNNING"
    )
    press.registry.start()

    assert press.wait(publication_id)["state"] == "SUCCEEDED"


def test_an_upload_that_the_registry_does_not_know_is_told_apart(http_registry: HttpRegistry) -> None:
    http_registry.ensure_model("empty")

    with pytest.raises(UploadGone):
        http_registry.finalize("empty", "01ARZ3NDEKTSV4RRFFQ69G5FAV", {"metrics": {}, "lineage": {}})


def test_what_is_no_zip_is_refused_with_the_registrys_reason(
    http_registry: HttpRegistry, tmp_path: Path
) -> None:
    (tmp_path / "model.zip").write_bytes(b"no zip at all")
    http_registry.ensure_model("empty")
    upload_id = http_registry.upload("empty", tmp_path / "model.zip")

    with pytest.raises(RegistryRefused, match="zip"):
        http_registry.finalize("empty", upload_id, {"metrics": {}, "lineage": {}})


def test_an_alias_moves_and_an_unknown_version_is_refused(
    press: Press, http_registry: HttpRegistry, job_id: str
) -> None:
    press.wait(press.publish(job_id, "moves"))
    http_registry.set_alias("moves", "latest", 1)
    http_registry.set_alias("moves", "fresh", 1)
    assert press.alias("moves", "fresh") == 1

    with pytest.raises(RegistryRefused):
        http_registry.set_alias("moves", "fresh", 7)


def test_a_registry_that_is_away_may_answer_later(http_registry: HttpRegistry, press: Press) -> None:
    press.registry.kill()
    try:
        with pytest.raises(RegistryUnavailable):
            http_registry.upload("any", Path(__file__))
    finally:
        press.registry.start()
