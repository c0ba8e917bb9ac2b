"""A TCP proxy in front of the object store, through which the services see it, and which fails as it is told.

``slow`` holds back every piece, ``resets`` breaks connections off in the middle, ``failing`` answers requests with
503, and ``full`` answers those that write with 507, as a store does whose disk is full.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

Mode = Literal["sound", "slow", "resets", "failing", "full"]
MODES: tuple[Mode, ...] = ("slow", "resets", "failing", "full")
HOST = "127.0.0.1"
PIECE_BYTES = 1 << 16
SLOW_S = 0.15
"""Held back for each piece of an answer."""
RESET_SHARE = 0.2
CONNECT_S = 120.0
FAILING_SHARE = 0.5
WRITES = (b"PUT ", b"POST ", b"DELETE ")
REQUESTS = (*WRITES, b"GET ", b"HEAD ")
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset."""


class FaultyProxy:
    """Listens on a port of its own; ``target`` tells where the store is at the moment of each connection."""

    def __init__(self, target: Callable[[], int], seed: int) -> None:
        self.mode: Mode = "sound"
        self.met: Counter[str] = Counter()
        """How often each fault was met."""
        self._target = target
        self._random = random.Random(seed)
        self._server = socket.create_server((HOST, 0), backlog=256)
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        """Take no new connection."""
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                store = socket.create_connection((HOST, self._target()), timeout=CONNECT_S)
                # A kept connection may be idle for long; timed out, it would swallow the next answer.
                store.settimeout(None)
            except OSError:
                self._reset(client)
                return
            with store:
                threading.Thread(target=self._answers, args=(store, client), daemon=True).start()
                self._requests(client, store)

    def _requests(self, client: socket.socket, store: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                if piece.startswith(REQUESTS) and self._refuses(piece, client):
                    return
                store.sendall(piece)
            store.shutdown(socket.SHUT_WR)

    def _answers(self, store: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := store.recv(PIECE_BYTES):
                if self.mode == "slow":
                    self.met["slow"] += 1
                    time.sleep(SLOW_S)
                if self.mode == "resets" and self._random.random() < RESET_SHARE:
                    self.met["resets"] += 1
                    # Some of the answer arrives, and then nothing more.
                    client.sendall(piece[: len(piece) // 2])
                    self._reset(client)
                    return
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)

    def _refuses(self, piece: bytes, client: socket.socket) -> bool:
        """Whether a request is answered here, before the store sees it."""
        if self.mode == "full" and piece.startswith(WRITES[:2]):
            self.met["full"] += 1
            self._answer(client, "507 Insufficient Storage", "XMinioStorageFull")
            return True
        if self.mode == "failing" and self._random.random() < FAILING_SHARE:
            self.met["failing"] += 1
            self._answer(client, "503 Service Unavailable", "ServiceUnavailable")
            return True
        return False

    def _answer(self, client: socket.socket, status: str, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>planted</Message></Error>"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}"
        client.sendall(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        # What the client still sends is read, else the answer could be lost in a reset.
        client.shutdown(socket.SHUT_WR)
        client.settimeout(2)
        while client.recv(PIECE_BYTES):
            pass

    def _reset(self, client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with suppress(OSError):
            # Another thread may be reading, and the reset is only sent once nobody holds the socket.
            client.shutdown(socket.SHUT_RD)
        client.close()
