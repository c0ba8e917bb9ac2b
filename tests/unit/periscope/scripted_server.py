"""An HTTP server that answers as a test's function says, and remembers what it was asked."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET_AFTER_S = 0.05
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """``cut_at``: the connection breaks after so many bytes of the body; 0 breaks it before any answer.

    It ends there, or with ``resets`` it is reset, as by a server that crashes.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    resets: bool = False


Script = Callable[[Asked, int], Answer]
"""Told the request and how many came before it."""


@dataclass
class ScriptedServer:
    url: str
    asked: list[Asked] = field(default_factory=list)

    def requests(self) -> list[str]:
        return [f"{asked.method} {asked.path.split('?')[0]}" for asked in self.asked]


@contextmanager
def scripted_server(script: Script) -> Iterator[ScriptedServer]:
    handler = _handler(script)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        scripted = ScriptedServer(f"http://127.0.0.1:{server.server_port}")
        handler.scripted = scripted
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield scripted
        finally:
            server.shutdown()
            thread.join()


def _handler(script: Script) -> type[_Handler]:
    answers = {f"do_{method}": _Handler.answer for method in METHODS}
    return type("Handler", (_Handler,), {"script": staticmethod(script), **answers})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script
    scripted: ScriptedServer

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, dict(self.headers), body)
        before = len(self.scripted.asked)
        self.scripted.asked.append(asked)
        answer = self.script(asked, before)
        if answer.cut_at != 0:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut_at])
        if answer.cut_at is not None:
            self.close_connection = True
            self.wfile.flush()
            if answer.resets:
                # What has been sent shall arrive before the reset does.
                time.sleep(RESET_AFTER_S)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())
                return
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
