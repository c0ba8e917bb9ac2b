"""A training program with a key of its own: it reaches what a training needs, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from detectnet_trainer.job import train
from periscope import keys
from periscope.access import trainer_policy, trainer_seaweedfs_actions
from periscope.blobs import put_blob
from periscope.documents import Documents
from periscope.ids import new_id
from periscope.s3 import S3Store
from periscope.store import StoreUnavailable
from periscope_embedded.seaweedfs import BUCKET, SeaweedFS
from periscope_upkeep.identities import identities
from periscope_upkeep.settings import UserKey
from tests.unit.detectnet_trainer.small_data import options, store_job

TRAINER = UserKey("trainer", "trainer-secret")
STATEMENTS = trainer_policy(BUCKET)["Statement"]


class ScopedSeaweedFS(SeaweedFS):
    """With a second identity, whose actions are those of the training program."""

    def prepare(self) -> None:
        super().prepare()
        services = UserKey(self.identity.access_key_id, self.identity.secret_access_key)
        (self.folder / "s3.json").write_text(json.dumps(identities(BUCKET, services, TRAINER)))

    def trainer_store(self) -> S3Store:
        keys_of_trainer = {"access_key_id": "trainer", "secret_access_key": "trainer-secret"}
        return S3Store(replace(self.settings(), **keys_of_trainer))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScopedSeaweedFS]:
    server = ScopedSeaweedFS(tmp_path_factory.mktemp("scoped"))
    server.start()
    server.wait_ready()
    yield server
    server.kill()


@pytest.mark.slow
def test_a_whole_training_runs_with_the_trainers_key(server: ScopedSeaweedFS, tmp_path: Path) -> None:
    store = S3Store(server.settings())
    job_id = store_job(store, options(epochs=2))

    assert train(server.trainer_store(), job_id, 1, {"PERISCOPE_WORK_DIR": str(tmp_path)}) == 0
    assert len(Documents(store).get("checkpoints", job_id).body["epochs"]) == 2


@pytest.mark.parametrize(
    "key",
    [
        keys.document("jobs", new_id()), keys.document("tokens", new_id()), keys.document("devices", new_id()),
        keys.version("models", new_id(), 1), keys.upload(new_id()), keys.name_claim("models", "buoys"),
    ],
)  # fmt: skip
def test_the_trainers_key_reads_and_changes_nothing_else(server: ScopedSeaweedFS, key: str) -> None:
    S3Store(server.settings()).put(key, b"not for trainers")
    trainer = server.trainer_store()

    with pytest.raises(StoreUnavailable):
        trainer.get(key)
    with pytest.raises(StoreUnavailable):
        trainer.put(key, b"changed")
    with pytest.raises(StoreUnavailable):
        trainer.delete(key)
    assert S3Store(server.settings()).get(key).body == b"not for trainers"


def test_blobs_and_dataset_versions_can_be_read_and_not_changed(server: ScopedSeaweedFS) -> None:
    store, trainer = S3Store(server.settings()), server.trainer_store()
    blob = keys.blob(put_blob(store, b"pixels").sha256)
    version = keys.version("datasets", new_id(), 1)
    store.put(version, b"{}")

    for key in (blob, version):
        before = trainer.get(key).body
        with pytest.raises(StoreUnavailable):
            trainer.put(key, b"changed")
        with pytest.raises(StoreUnavailable):
            trainer.delete(key)
        assert store.get(key).body == before


def test_the_policy_document_says_the_same_as_the_servers_actions() -> None:
    def prefixes(action: str) -> set[str]:
        start = f"arn:aws:s3:::{BUCKET}/"
        found = [item for entry in STATEMENTS if action in entry["Action"] for item in entry["Resource"]]
        return {resource.removeprefix(start) for resource in found}

    actions = trainer_seaweedfs_actions(BUCKET)
    for verb, action in (("Read", "s3:GetObject"), ("Write", "s3:PutObject")):
        start = f"{verb}:{BUCKET}/"
        assert prefixes(action) == {item.removeprefix(start) for item in actions if item.startswith(start)}
    assert prefixes("s3:DeleteObject") == {"jobs/*"}
