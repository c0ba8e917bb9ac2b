"""The bootstrap on a real MinIO: bucket, lifecycle, users, and policies that reach so far and no further."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from detectnet_trainer.job import train
from periscope import keys
from periscope.documents import Documents
from periscope.ids import new_id
from periscope.probe import prove_conditional_writes
from periscope.s3 import S3Store
from periscope.settings import S3Settings
from periscope.store import StoreError, StoreUnavailable
from tests.cluster.minio_server import MinioServer
from tests.cluster.sandbox import Sandbox
from tests.unit.detectnet_trainer.small_data import options, store_job

pytestmark = pytest.mark.timeout(240)

SERVICES, TRAINER = ("services", "secret-of-services"), ("trainer", "secret-of-trainer")


def bootstrap(server: S3Settings, **changes: str) -> subprocess.CompletedProcess[str]:
    """The program as the chart's Job runs it."""
    environ = {
        "S3_ENDPOINT": server.endpoint, "S3_BUCKET": server.bucket,
        "AWS_ACCESS_KEY_ID": server.access_key_id, "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "PERISCOPE_MAKE_USERS": "minio",
        "SERVICES_ACCESS_KEY_ID": SERVICES[0], "SERVICES_SECRET_ACCESS_KEY": SERVICES[1],
        "TRAINER_ACCESS_KEY_ID": TRAINER[0], "TRAINER_SECRET_ACCESS_KEY": TRAINER[1],
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "periscope_upkeep", "bootstrap"],
        env={**os.environ, **environ, **changes}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(minio_program: Path) -> Iterator[MinioServer]:
    with Sandbox() as sandbox:
        server = MinioServer.start(sandbox, minio_program)
        done = bootstrap(server.admin)
        assert done.returncode == 0, done.stderr
        yield server


def s3(settings: S3Settings) -> Any:
    return boto3.client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region,
        aws_access_key_id=settings.access_key_id, aws_secret_access_key=settings.secret_access_key,
    )  # fmt: skip


def test_the_bucket_is_there_with_its_lifecycle(server: MinioServer) -> None:
    (rule,) = s3(server.admin).get_bucket_lifecycle_configuration(Bucket=server.admin.bucket)["Rules"]

    assert rule["Filter"] == {"Prefix": keys.UPLOADS}
    assert rule["Status"] == "Enabled"
    assert rule["Expiration"]["Days"] == 30


def test_the_services_key_does_all_that_services_do(server: MinioServer) -> None:
    store = S3Store(server.as_user(*SERVICES))
    prove_conditional_writes(store)
    key = keys.document("jobs", new_id())
    etag = store.put_if_absent(key, b"{}")
    store.put_if_match(key, b"[]", etag)
    upload = store.create_upload(keys.upload("u"))
    assert list(store.list_parts(keys.upload("u"), upload)) == []
    store.abort_upload(keys.upload("u"), upload)

    assert [info.key for info in store.list(keys.ALL_DOCUMENTS)] == [key]
    store.delete(key)
    assert store.head(key) is None


def test_the_services_key_reaches_no_other_bucket_and_no_settings(server: MinioServer) -> None:
    S3Store(server.admin).make_bucket()
    s3(server.admin).create_bucket(Bucket="another")
    client = s3(server.as_user(*SERVICES))

    for call in (
        lambda: client.put_object(Bucket="another", Key="k", Body=b""),
        lambda: client.delete_bucket(Bucket=server.admin.bucket),
        lambda: client.delete_bucket_lifecycle(Bucket=server.admin.bucket),
        lambda: client.create_bucket(Bucket="third"),
    ):
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            call()


def test_a_whole_training_runs_with_the_trainers_key(server: MinioServer, tmp_path: Path) -> None:
    store = S3Store(server.as_user(*SERVICES))
    job_id = store_job(store, options(epochs=2))
    trainer = S3Store(server.as_user(*TRAINER))

    assert train(trainer, job_id, 1, {"PERISCOPE_WORK_DIR": str(tmp_path)}) == 0
    assert len(Documents(store).get("checkpoints", job_id).body["epochs"]) == 2


@pytest.mark.parametrize(
    "key",
    [
        keys.document("jobs", new_id()), keys.document("tokens", new_id()), keys.document("devices", new_id()),
        keys.version("models", new_id(), 1), keys.upload(new_id()), keys.name_claim("models", "buoys"),
    ],
)  # fmt: skip
def test_the_trainers_key_reads_and_changes_nothing_else(server: MinioServer, key: str) -> None:
    S3Store(server.as_user(*SERVICES)).put(key, b"not for trainers")
    trainer = S3Store(server.as_user(*TRAINER))

    for call in (trainer.get, lambda key: trainer.put(key, b"changed"), trainer.delete):
        with pytest.raises(StoreUnavailable):
            call(key)
    assert S3Store(server.as_user(*SERVICES)).get(key).body == b"not for trainers"


def test_a_second_run_changes_secrets_and_nothing_else(server: MinioServer) -> None:
    S3Store(server.admin).put("kept", b"data")

    done = bootstrap(server.admin, TRAINER_SECRET_ACCESS_KEY="rotated-secret")
    try:
        assert done.returncode == 0, done.stderr
        assert S3Store(server.admin).get("kept").body == b"data"
        assert S3Store(server.as_user(TRAINER[0], "rotated-secret")).head(keys.job_spec("x")) is None
        with pytest.raises(StoreError):
            S3Store(server.as_user(*TRAINER)).head(keys.job_spec("x"))
    finally:
        bootstrap(server.admin)


def test_a_key_without_rights_is_told(server: MinioServer) -> None:
    done = bootstrap(server.as_user(*SERVICES), SERVICES_ACCESS_KEY_ID="other")

    assert done.returncode == 69
    assert "periscope_upkeep bootstrap:" in done.stderr
