"""The S3 adapter keeps the store's promises on a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests

from periscope.s3 import S3Store
from periscope.store import ObjectStore, StoreUnavailable
from periscope_embedded.seaweedfs import SeaweedFS
from tests.store_contract import StoreContract


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, s3_store: S3Store) -> S3Store:
        return s3_store

    def send_part(self, store: ObjectStore, key: str, upload_id: str, number: int, body: bytes) -> None:
        url = store.presign_part(key, upload_id, number, 60)
        assert requests.put(url, data=body, timeout=30).status_code == 200


def test_a_presigned_url_serves_ranges_without_credentials(s3_store: S3Store) -> None:
    s3_store.put("a", b"0123456789")

    url = s3_store.presign_get("a", 60, filename="model.zip")
    answer = requests.get(url, headers={"Range": "bytes=3-"}, timeout=10)

    assert (answer.status_code, answer.content) == (206, b"3456789")
    assert answer.headers["Content-Range"] == "bytes 3-9/10"
    assert 'filename="model.zip"' in answer.headers["Content-Disposition"]


def test_a_changed_presigned_url_is_refused(s3_store: S3Store) -> None:
    s3_store.put("a", b"a")
    s3_store.put("b", b"b")

    url = s3_store.presign_get("a", 60).replace("/a?", "/b?")

    assert requests.get(url, timeout=10).status_code == 403


def test_presigned_urls_carry_the_public_endpoint(seaweedfs: SeaweedFS, s3_bucket: str) -> None:
    settings = replace(seaweedfs.settings(s3_bucket), public_endpoint="https://store.example:9000")

    assert S3Store(settings).presign_get("a", 60).startswith("https://store.example:9000/")


def test_more_than_a_page_is_listed(s3_store: S3Store) -> None:
    for number in range(1005):
        s3_store.put(f"many/{number:04d}", b"")

    assert [info.key for info in s3_store.list("many/")] == [f"many/{number:04d}" for number in range(1005)]


def test_a_server_that_is_away_is_unavailable(seaweedfs: SeaweedFS) -> None:
    settings = replace(
        seaweedfs.settings(), endpoint="http://127.0.0.1:9", public_endpoint="http://127.0.0.1:9"
    )
    store = S3Store(settings)

    with pytest.raises(StoreUnavailable):
        store.put_if_absent("a", b"x")
    with pytest.raises(StoreUnavailable):
        store.head("a")


def test_a_wrong_key_is_not_taken_for_an_empty_store(seaweedfs: SeaweedFS, s3_bucket: str) -> None:
    settings = replace(seaweedfs.settings(s3_bucket), secret_access_key="wrong")

    with pytest.raises(StoreUnavailable):
        S3Store(settings).head("a")


def test_objects_outlive_a_killed_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = SeaweedFS(tmp_path_factory.mktemp("killed"))
    server.start()
    try:
        server.wait_ready()
        store = S3Store(server.settings())
        for number in range(50):
            store.put(f"k/{number:02d}", b"x" * 1000)
        server.kill()
        server.start()
        server.wait_ready()

        assert len(list(store.list("k/"))) == 50
    finally:
        server.kill()
