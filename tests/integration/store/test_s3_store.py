"""The S3 adapter keeps the store's promises on a real server."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from periscope.blobs import put_blob_file
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope.store import InvalidUpload, ObjectStore, StoreUnavailable
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


def test_a_presigned_url_expires(s3_store: S3Store) -> None:
    s3_store.put("a", b"a")
    url = s3_store.presign_get("a", 1)
    time.sleep(2.1)

    assert requests.get(url, timeout=10).status_code == 403


def test_a_presigned_part_takes_no_other_part(s3_store: S3Store) -> None:
    upload_id = s3_store.create_upload("a")
    url = s3_store.presign_part("a", upload_id, 1, 60).replace("partNumber=1", "partNumber=2")

    assert requests.put(url, data=b"x", timeout=10).status_code == 403
    assert s3_store.list_parts("a", upload_id) == []


def test_a_part_whose_connection_breaks_is_not_there(s3_store: S3Store) -> None:
    upload_id = s3_store.create_upload("a")
    url = urlsplit(s3_store.presign_part("a", upload_id, 1, 60))
    assert url.hostname
    assert url.port
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 400_000)
    time.sleep(0.5)

    assert s3_store.list_parts("a", upload_id) == []
    with pytest.raises(InvalidUpload):
        s3_store.complete_upload("a", upload_id, [])
    assert s3_store.head("a") is None


def test_a_file_of_several_parts_is_stored_whole(s3_store: S3Store, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        for number in range(40):
            file.write(bytes([number]) * (1 << 20))
    ref = put_blob_file(s3_store, path)

    digest = hashlib.sha256()
    for chunk in s3_store.iterate(ref.key):
        digest.update(chunk)

    assert digest.hexdigest() == ref.sha256
    assert s3_store.get_range(ref.key, (16 << 20) - 1, 2) == bytes([15, 16])


@pytest.mark.slow
def test_an_unchanged_list_of_10_000_documents_costs_ten_requests(s3_store: S3Store) -> None:
    documents = Documents(s3_store)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: documents.create("jobs", {"n": number}), range(10_000)))
    documents.list("jobs")
    asked: list[str] = []
    events = s3_store._client.meta.events
    events.register("before-send.s3", lambda request, **_: asked.append(request.url))

    found = documents.list("jobs")

    assert len(found) == 10_000
    assert len(asked) == 10
    assert all("list-type=2" in url for url in asked)


def test_more_than_a_page_is_listed(s3_store: S3Store) -> None:
    names = [f"many/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3_store.put(name, b""), names))

    assert [info.key for info in s3_store.list("many/")] == names


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
