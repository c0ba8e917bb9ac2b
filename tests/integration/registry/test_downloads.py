from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from periscope.client import DownloadCorrupt
from tests.integration.gunicorn_service import ADMIN
from tests.integration.registry.server import Registry
from tests.unit.periscope_registry.zips import model_zip

pytestmark = pytest.mark.real_store

BALLAST_BYTES = 48 << 20
ZIP = "/v1/models/buoys/versions/1/zip"
BEARER = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def body(registry: Registry, tmp_path: Path) -> bytes:
    """A published zip of some size."""
    path = tmp_path / "large.zip"
    path.write_bytes(model_zip(1, BALLAST_BYTES))
    registry.publish("buoys", path)
    return path.read_bytes()


def test_the_redirect_leads_to_the_bytes_with_range_and_no_token(registry: Registry, body: bytes) -> None:
    redirect = requests.get(registry.url + ZIP, headers=BEARER, allow_redirects=False, timeout=10)
    etag = f'"sha256:{hashlib.sha256(body).hexdigest()}"'
    assert (redirect.status_code, redirect.headers["ETag"]) == (307, etag)
    tail = requests.get(
        redirect.headers["Location"], headers={"Range": f"bytes={len(body) - 1000}-"}, timeout=10
    )
    known = requests.get(
        registry.url + ZIP, headers={**BEARER, "If-None-Match": etag}, allow_redirects=False, timeout=10
    )

    assert (tail.status_code, tail.content) == (206, body[-1000:])
    assert tail.headers["Content-Range"] == f"bytes {len(body) - 1000}-{len(body) - 1}/{len(body)}"
    assert (known.status_code, known.content) == (304, b"")


def test_the_client_downloads_and_checks(registry: Registry, body: bytes, tmp_path: Path) -> None:
    target = tmp_path / "got.zip"
    registry.client.download(ZIP, target, hashlib.sha256(body).hexdigest())

    assert target.read_bytes() == body
    with pytest.raises(DownloadCorrupt):
        registry.client.download(ZIP, tmp_path / "other.zip", "0" * 64)


def test_the_proxy_streams_ranges_in_little_memory(registry: Registry, body: bytes) -> None:
    pid = registry.worker_pid()
    before = resident_bytes(pid)
    with highest_memory_of(pid) as peaks, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda start: proxied(registry, start), [0, 1, 1 << 20, len(body) // 2]))

    for start, answer in zip([0, 1, 1 << 20, len(body) // 2], answers, strict=True):
        assert answer.content == body[start:]
        assert answer.status_code == (206 if start else 200)
    assert max(peaks) - before < BALLAST_BYTES / 2
    behind = proxied(registry, len(body))
    assert (behind.status_code, behind.headers["Content-Range"]) == (416, f"bytes */{len(body)}")


def proxied(registry: Registry, start: int) -> requests.Response:
    headers = {**BEARER, **({"Range": f"bytes={start}-"} if start else {})}
    return requests.get(f"{registry.url}{ZIP}?proxy=1", headers=headers, timeout=60)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@contextmanager
def highest_memory_of(pid: int) -> Iterator[list[int]]:
    """Samples taken while the block runs."""
    peaks: list[int] = []
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            peaks.append(resident_bytes(pid))
            time.sleep(0.005)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peaks
    finally:
        done.set()
        sampler.join()
