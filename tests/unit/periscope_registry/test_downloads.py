from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from periscope import keys
from periscope_registry import download_routes
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

BODY = model_zip(1, weight_bytes=3 << 20)
SHA256 = hashlib.sha256(BODY).hexdigest()
ETAG = f'"sha256:{SHA256}"'
ZIP = "/v1/models/buoys/versions/1/zip"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    assert service.publish("buoys", BODY).status_code == 201
    return service


def test_a_download_is_sent_to_the_store(service: Service) -> None:
    answer = service.get(ZIP, role="viewer")

    assert answer.status_code == 307
    assert answer.headers["Location"] == f"memory://{keys.blob(SHA256)}"
    assert answer.headers["ETag"] == ETAG
    assert answer.json == {"url": answer.headers["Location"], "sha256": SHA256, "size_bytes": len(BODY)}


@pytest.mark.parametrize("query", ["", "?proxy=1"])
def test_who_has_the_zip_already_is_told_so(service: Service, query: str) -> None:
    answer = service.get(ZIP + query, headers={"If-None-Match": ETAG})

    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == ETAG
    assert service.get(ZIP + query, headers={"If-None-Match": '"sha256:0"'}).status_code != 304


def test_the_proxy_sends_the_bytes_itself(service: Service) -> None:
    answer = service.get(f"{ZIP}?proxy=1")

    assert (answer.status_code, answer.data) == (200, BODY)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Length"] == str(len(BODY))


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=1000000-2500000", 1000000, 2500000), ("bytes=-5", len(BODY) - 5, None)],
)
def test_the_proxy_sends_a_range(service: Service, asked: str, first: int, last: int | None) -> None:
    last = len(BODY) - 1 if last is None else last
    answer = service.get(f"{ZIP}?proxy=1", headers={"Range": asked})

    assert (answer.status_code, answer.data) == (206, BODY[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"


def test_a_range_behind_the_end_is_answered_with_the_size(service: Service) -> None:
    answer = service.get(f"{ZIP}?proxy=1", headers={"Range": f"bytes={len(BODY)}-"})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(("if_range", "status"), [(ETAG, 206), ('"sha256:0"', 200)])
def test_a_range_of_what_the_caller_thinks_it_is(service: Service, if_range: str, status: int) -> None:
    headers = {"Range": "bytes=5-", "If-Range": if_range}

    assert service.get(f"{ZIP}?proxy=1", headers=headers).status_code == status


def test_the_proxy_reads_piece_by_piece(service: Service) -> None:
    assert len(service.get(f"{ZIP}?proxy=1").data) == len(BODY)

    assert service.store.calls["get_range"] == -(-len(BODY) // download_routes.PIECE_BYTES)
    assert "iterate" in service.store.calls  # While it was published, and not since.


def test_streams_leave_threads_for_others(service: Service) -> None:
    open_streams = [service.get(f"{ZIP}?proxy=1", buffered=False) for _ in range(download_routes.MAX_STREAMS)]
    refused = service.get(f"{ZIP}?proxy=1")
    for stream in open_streams:
        stream.close()

    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert service.get(f"{ZIP}?proxy=1").status_code == 200


def test_a_head_request_takes_no_stream(service: Service) -> None:
    for _ in range(2 * download_routes.MAX_STREAMS):
        answer = service.call("HEAD", f"{ZIP}?proxy=1")

        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(BODY))


def test_a_lost_blob_is_told_before_the_first_byte(service: Service) -> None:
    service.store.delete(keys.blob(SHA256))

    assert service.get(f"{ZIP}?proxy=1").status_code == 404


def test_a_device_gets_its_own_model_only(service: Service) -> None:
    service.publish("gates", model_zip(2))
    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 1})
    own = {"role": "device", "device_id": "sub-1"}

    assert service.get(ZIP, **own).status_code == 307
    assert service.get("/v1/models/gates/versions/1/zip", **own).status_code == 403
    assert service.get(ZIP, role="device", device_id="stranger").status_code == 404
