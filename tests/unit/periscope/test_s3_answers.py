"""What the S3 adapter makes of a server's answers, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from periscope.s3 import ATTEMPTS, S3Store
from periscope.settings import S3Settings
from periscope.store import InvalidUpload, ObjectMissing, PreconditionFailed, StoreUnavailable, UploadedPart
from tests.unit.periscope.scripted_server import Answer, Asked, Script, scripted_server

pytestmark = pytest.mark.slow

Call = Callable[[S3Store], Any]

CALLS: dict[str, Call] = {
    "claim": lambda store: store.put_if_absent("k", b"{}"),
    "replace": lambda store: store.put_if_match("k", b"{}", "e"),
    "get": lambda store: store.get("k"),
    "head": lambda store: store.head("k"),
    "list": lambda store: list(store.list("k")),
    "put": lambda store: store.put("k", b"x"),
    "delete": lambda store: store.delete("k"),
    "parts": lambda store: store.list_parts("k", "u"),
    "complete": lambda store: store.complete_upload("k", "u", [UploadedPart(1, "e", 1)]),
}


def connect(url: str) -> S3Store:
    return S3Store(S3Settings(url, url, "bucket", "id", "secret"))


def failure(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


def always(answer: Answer) -> Script:
    return lambda *_: answer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.mark.parametrize(
    ("what", "status", "code", "error"),
    [
        ("claim", 412, "PreconditionFailed", PreconditionFailed),
        ("claim", 409, "ConditionalRequestConflict", PreconditionFailed),
        ("replace", 412, "PreconditionFailed", PreconditionFailed),
        ("replace", 409, "ConditionalRequestConflict", PreconditionFailed),
        ("replace", 404, "NoSuchKey", PreconditionFailed),
        ("get", 404, "NoSuchKey", ObjectMissing),
        ("get", 404, "NoSuchBucket", StoreUnavailable),
        ("get", 403, "AccessDenied", StoreUnavailable),
        ("claim", 403, "SignatureDoesNotMatch", StoreUnavailable),
        ("parts", 404, "NoSuchUpload", InvalidUpload),
        ("complete", 404, "NoSuchUpload", InvalidUpload),
        ("complete", 400, "InvalidPart", InvalidUpload),
        ("complete", 400, "EntityTooSmall", InvalidUpload),
    ],
)
def test_each_refusal_becomes_what_the_caller_can_act_on(
    what: str, status: int, code: str, error: type[Exception]
) -> None:
    with scripted_server(always(failure(status, code))) as server, pytest.raises(error):
        CALLS[what](connect(server.url))


@pytest.mark.parametrize("what", ["get", "list", "parts"])
@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_that_breaks_off_is_unavailability(what: str, status: int) -> None:
    body = b"<Error><Code>NoSuchKey</Code></Error>"
    broken = Answer(status, body, {"ETag": '"e"'}, cut_at=10, resets=True)
    with scripted_server(always(broken)) as server, pytest.raises(StoreUnavailable):
        CALLS[what](connect(server.url))


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_unavailability(what: str, status: int) -> None:
    with (
        scripted_server(always(failure(status, "InternalError"))) as server,
        pytest.raises(StoreUnavailable),
    ):
        CALLS[what](connect(server.url))

    assert len(server.asked) == (1 if what in {"claim", "replace"} else ATTEMPTS)


@pytest.mark.parametrize("what", ["claim", "replace"])
def test_a_conditional_write_whose_answer_is_lost_is_sent_once(what: str) -> None:
    with scripted_server(always(Answer(cut_at=0))) as server, pytest.raises(StoreUnavailable):
        CALLS[what](connect(server.url))

    assert len(server.asked) == 1


@pytest.mark.parametrize("what", ["claim", "replace"])
def test_a_conditional_write_that_was_slowed_down_is_sent_once(what: str) -> None:
    with (
        scripted_server(always(failure(503, "SlowDown"))) as server,
        pytest.raises(StoreUnavailable),
    ):
        CALLS[what](connect(server.url))

    assert len(server.asked) == 1


def test_a_read_is_tried_again() -> None:
    def fails_once(asked: Asked, before: int) -> Answer:
        return failure(500, "InternalError") if before == 0 else Answer(200, b"hello", {"ETag": '"e"'})

    with scripted_server(fails_once) as server:
        found = connect(server.url).get("k")

    assert (found.body, found.etag) == (b"hello", "e")
    assert len(server.asked) == 2


def test_a_read_that_breaks_off_is_not_taken_for_a_short_object() -> None:
    answer = Answer(200, b"hello world", {"ETag": '"e"'}, cut_at=5)
    with scripted_server(always(answer)) as server:
        with pytest.raises(StoreUnavailable):
            connect(server.url).get("k")
        with pytest.raises(StoreUnavailable):
            b"".join(connect(server.url).iterate("k"))
        with pytest.raises(StoreUnavailable):
            connect(server.url).get_range("k", 0, 11)


def test_a_404_to_head_is_absence_and_a_403_is_not() -> None:
    with scripted_server(always(Answer(404))) as server:
        assert connect(server.url).head("k") is None
    with scripted_server(always(Answer(403))) as server, pytest.raises(StoreUnavailable):
        connect(server.url).head("k")


def test_requests_are_signed_and_say_their_condition() -> None:
    with scripted_server(always(Answer(200, b"", {"ETag": '"new"'}))) as server:
        store = connect(server.url)
        store.put_if_absent("a/b", b"{}")
        store.put_if_match("a/b", b"{}", "old")

    claim, replacement = server.asked
    assert claim.path == replacement.path == "/bucket/a/b"
    assert claim.headers["If-None-Match"] == "*"
    assert replacement.headers["If-Match"] == '"old"'
    assert claim.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
    assert not [name for name in claim.headers if name.lower().startswith("x-amz-checksum")]


def test_a_file_name_cannot_break_out_of_its_header() -> None:
    url = connect("http://s3.example").presign_get("k", 60, filename='a"b\r\nSet-Cookie: é.zip')

    assert "filename%3D%22a_b__Set-Cookie___.zip%22" in url
