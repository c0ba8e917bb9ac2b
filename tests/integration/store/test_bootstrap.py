"""The bootstrap on the embedded S3 server; tests/cluster has it on MinIO, with users."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from periscope import keys
from periscope.s3 import S3Store
from periscope.settings import S3Settings
from periscope_embedded.seaweedfs import SeaweedFS
from periscope_upkeep.bootstrap import bootstrap
from periscope_upkeep.minio_users import UsersRefused
from periscope_upkeep.settings import BootstrapSettings, UserKey

pytestmark = pytest.mark.real_store


@pytest.fixture
def settings(seaweedfs: SeaweedFS) -> S3Settings:
    return replace(seaweedfs.settings("fresh-bucket"))


def rules(settings: S3Settings) -> list[tuple[str, int]]:
    client = boto3.client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region,
        aws_access_key_id=settings.access_key_id, aws_secret_access_key=settings.secret_access_key,
    )  # fmt: skip
    found = client.get_bucket_lifecycle_configuration(Bucket=settings.bucket)["Rules"]
    return [(rule["Filter"]["Prefix"], rule["Expiration"]["Days"]) for rule in found]


def test_bucket_and_lifecycle_are_made_and_a_second_run_changes_nothing(settings: S3Settings) -> None:
    told: list[str] = []
    bootstrap(BootstrapSettings(settings, None, None), told.append)
    store = S3Store(settings)
    store.put(keys.upload("u"), b"archive")
    store.put("kept", b"data")
    bootstrap(BootstrapSettings(settings, None, None), told.append)

    assert rules(settings) == [(keys.UPLOADS, 30)]
    assert (store.get(keys.upload("u")).body, store.get("kept").body) == (b"archive", b"data")
    assert told[:3] == told[3:]


def test_it_waits_for_a_store_that_is_still_starting(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path)
    command = [sys.executable, "-m", "periscope_upkeep", "bootstrap", "--patience-s", "60"]
    with subprocess.Popen(
        command, env={**os.environ, **server.environ()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stderr is not None
        refused = process.stderr.readline()
        server.start()
        try:
            told, _ = process.communicate(timeout=60)
        finally:
            server.kill()

    assert "periscope_upkeep bootstrap: " in refused
    assert process.returncode == 0
    assert "bucket periscope: there" in told


def test_a_server_that_is_no_minio_makes_no_users_and_says_so(settings: S3Settings) -> None:
    users = UserKey("services", "secret-of-services"), UserKey("trainer", "secret-of-trainer")

    with pytest.raises(UsersRefused, match="makes no user for fresh-bucket-services"):
        bootstrap(BootstrapSettings(settings, *users), lambda _: None)
