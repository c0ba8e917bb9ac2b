"""Logs and events that are followed over connections which end, break or fall silent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from periscope import client
from periscope.client import ServiceClient, ServiceProblem
from periscope_cli.client import calls, streams
from periscope_cli.client.streams import job_events, job_log

JOB = "/v1/jobs/1"


@dataclass
class World:
    """A job as it is between two streams: what each attempt has printed, and its state."""

    logs: list[bytes]
    state: str = "RUNNING"


@dataclass
class Training:
    """A training service's one job. A stream begins in one world and ends in the next.

    It shows all that the next one has, or breaks before it shows anything of that, or stays silent.
    """

    url: str = ""
    worlds: list[World] = field(default_factory=list)
    broken: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    now: int = 0
    events: list[str] = field(default_factory=list)
    last_event_ids: list[str | None] = field(default_factory=list)
    away: int = 0

    def job(self) -> bytes:
        world = self.worlds[self.now]
        attempts = [{"number": number} for number in range(1, len(world.logs) + 1)]
        return json.dumps({"state": world.state, "attempts": attempts}).encode()

    def log(self, attempt: int, offset: int) -> bytes:
        return self.worlds[self.now].logs[attempt - 1][offset:]

    def followed(self, attempt: int | None, offset: int) -> bytes:
        first = attempt or max(1, len(self.worlds[self.now].logs))
        if self.now not in self.broken | self.silent:
            self.now = min(self.now + 1, len(self.worlds) - 1)
        logs = self.worlds[self.now].logs[first - 1 : attempt]
        return b"".join(logs)[offset:]


class Handler(BaseHTTPRequestHandler):
    """GET of the job, its log and its events."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # Answers go out in one piece, else each costs a delayed acknowledgement.
    training: Training
    test_is_over: threading.Event

    def do_GET(self) -> None:
        training, parts = self.training, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if training.away:
            training.away -= 1
            return self.say(b"{}", status=503)
        if parts.path == JOB:
            return self.say(training.job())
        if parts.path == f"{JOB}/events":
            training.last_event_ids.append(self.headers["Last-Event-ID"])
            return self.say(training.events.pop(0).encode())
        if parts.path != f"{JOB}/log":
            return self.say(b"{}", status=404)
        attempt, offset = int(query.get("attempt", 0)) or None, int(query.get("offset", 0))
        if "follow" not in query:
            return self.say(training.log(attempt or len(training.worlds[training.now].logs), offset))
        began_in = training.now
        body = training.followed(attempt, offset)
        training.now = max(training.now, min(began_in + 1, len(training.worlds) - 1))
        return self.stream(body, is_broken=began_in in training.broken, is_silent=began_in in training.silent)

    def say(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, body: bytes, *, is_broken: bool, is_silent: bool) -> None:
        """In chunks, as the services do."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
        self.wfile.flush()
        if is_silent:
            self.test_is_over.wait(20)
        if is_broken:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    served, is_over = Training(), threading.Event()
    handler = type("Bound", (Handler,), {"training": served, "test_is_over": is_over})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr(client, "BACKOFF_S", 0.001)
    monkeypatch.setattr(calls, "POLL_S", 0.001)
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield served
    is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def followed(training: Training, attempt: int | None = None) -> str:
    return "".join(job_log(ServiceClient(training.url), JOB, attempt))


def test_a_stream_that_the_service_ends_is_gone_on_with(training: Training) -> None:
    training.worlds = [World([b"one "]), World([b"one two "]), World([b"one two three"], "SUCCEEDED")]

    assert followed(training) == "one two three"


def test_a_broken_connection_neither_repeats_nor_loses_a_byte(training: Training) -> None:
    half = "größe".encode()
    training.worlds = [World([half[:3]]), World([half + b" end"], "SUCCEEDED")]
    training.broken = {0}

    assert followed(training) == "größe end"


def test_a_stream_that_stays_silent_is_opened_anew(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SILENCE_S", 0.1)
    training.worlds = [World([b"before "]), World([b"before after"], "SUCCEEDED")]
    training.silent = {0}

    assert followed(training) == "before after"


def test_attempts_that_came_while_nobody_listened_are_told_in_order(training: Training) -> None:
    training.worlds = [
        World([b"lost "]),
        World([b"lost power ", b"again ", b"and "]),
        World([b"lost power ", b"again ", b"and again"], "SUCCEEDED"),
    ]
    training.broken = {0}

    assert followed(training) == "lost power again and again"


def test_a_stream_may_break_after_it_went_into_the_next_attempt(training: Training) -> None:
    training.worlds = [
        World([b"first "]),
        World([b"first "]),
        World([b"first ", b"sec"]),
        World([b"first ", b"second"], "SUCCEEDED"),
    ]

    assert followed(training) == "first second"


def test_the_log_begins_with_the_newest_attempt(training: Training) -> None:
    training.worlds = [World([b"old ", b"new "]), World([b"old ", b"new end"], "FAILED")]

    assert followed(training) == "new end"


def test_an_attempt_that_is_asked_for_is_all_that_is_told(training: Training) -> None:
    training.worlds = [World([b"first"]), World([b"first", b"second"])]
    training.broken = {0}

    assert followed(training, attempt=1) == "first"


def test_a_job_that_never_began_has_an_empty_log(training: Training) -> None:
    training.worlds = [World([]), World([], "CANCELLED")]

    assert followed(training) == ""


def event(name: str, number: int | None = None, **data: Any) -> str:
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data)}\n\n"


def events(training: Training, notes: list[str] | None = None) -> list[dict[str, Any]]:
    told: list[str] = [] if notes is None else notes
    return list(job_events(ServiceClient(training.url), JOB, told.append))


def test_events_go_on_behind_the_last_whole_one(training: Training) -> None:
    running, progress = event("state", state="RUNNING"), event("progress", 60, step=60)
    training.events = [
        f"retry: 2000\n\n{running}{progress}: still here\n\n{event('epoch', 120, epoch=1)[:-9]}",
        f"{running}{event('epoch', 120, epoch=1)}{event('end', state='SUCCEEDED')}",
    ]

    assert events(training) == [
        {"event": "state", "state": "RUNNING"},
        {"event": "progress", "step": 60},
        {"event": "epoch", "epoch": 1},
        {"event": "end", "state": "SUCCEEDED"},
    ]
    assert training.last_event_ids == [None, "60"]


def test_a_service_that_is_away_is_waited_for_and_told_of(training: Training) -> None:
    training.events = [event("end", state="FAILED")]
    training.away = client.TRIES
    notes: list[str] = []

    assert events(training, notes) == [{"event": "end", "state": "FAILED"}]
    assert "no answer, trying on" in notes[0]


def test_one_that_does_not_come_back_is_given_up(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PATIENCE_S", -1)
    training.away = 1000

    with pytest.raises(client.ServiceUnreachable):
        events(training)


def test_a_job_that_is_not_there_is_refused_at_once(training: Training) -> None:
    with pytest.raises(ServiceProblem) as caught:
        list(job_log(ServiceClient(training.url), "/v1/jobs/2", None))
    assert caught.value.status == 404
