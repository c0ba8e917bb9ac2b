"""The proxy before the store: it passes everything on, and fails as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from tests.chaos import proxy as proxy_module
from tests.chaos.proxy import FaultyProxy

CONTENT = bytes(range(256)) * 2000


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(CONTENT)

    def do_PUT(self) -> None:
        self._answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    proxy = FaultyProxy(lambda: server.server_address[1], seed=1)
    yield proxy
    proxy.close()
    server.shutdown()
    thread.join()
    server.server_close()


def url(proxy: FaultyProxy) -> str:
    return f"http://127.0.0.1:{proxy.port}/x"


def test_a_sound_store_is_seen_as_it_is(proxy: FaultyProxy) -> None:
    with requests.Session() as session:
        assert session.get(url(proxy), timeout=5).content == CONTENT
        assert session.put(url(proxy), data=CONTENT, timeout=5).text == str(len(CONTENT))
    assert not proxy.met


def test_an_idle_connection_still_brings_answers(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "CONNECT_S", 0.05)
    with requests.Session() as session:
        session.get(url(proxy), timeout=5)
        time.sleep(0.15)
        assert session.get(url(proxy), timeout=1).content == CONTENT


def test_a_full_store_can_be_read_and_not_written(proxy: FaultyProxy) -> None:
    proxy.mode = "full"
    assert requests.get(url(proxy), timeout=5).content == CONTENT
    assert requests.put(url(proxy), data=b"x", timeout=5).status_code == 507
    proxy.mode = "sound"
    assert requests.put(url(proxy), data=b"x", timeout=5).status_code == 200


def test_a_failing_store_answers_503_to_some(proxy: FaultyProxy) -> None:
    proxy.mode = "failing"
    seen = {requests.get(url(proxy), timeout=5).status_code for _ in range(30)}
    assert seen == {200, 503}


def test_connections_break_off_in_the_middle(proxy: FaultyProxy) -> None:
    proxy.mode = "resets"
    broken = 0
    for _ in range(30):
        try:
            requests.get(url(proxy), timeout=5)
        except requests.RequestException:
            broken += 1
    assert broken == proxy.met["resets"] > 0
