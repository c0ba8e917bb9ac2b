"""Calling a service: what is tried again, what is not, and where the token goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope import client as client_module
from periscope.client import (
    TRIES,
    DownloadCorrupt,
    ServiceClient,
    ServiceProblem,
    ServiceUnreachable,
)
from tests.unit.periscope.scripted_server import Answer, Asked, Script, scripted_server

ZIP = bytes(range(256)) * 4000
ZIP_SHA256 = hashlib.sha256(ZIP).hexdigest()
AWAY = Answer(503, b'{"title": "Temporarily unavailable", "detail": "no store"}')


def answer_json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def first(times: int, bad: Answer, then: Answer) -> Script:
    return lambda _, before: bad if before < times else then


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BACKOFF_S", 0.0)


@pytest.mark.parametrize("method", ["get", "put", "delete"])
@pytest.mark.parametrize("bad", [AWAY, Answer(cut_at=0)], ids=["503", "broken connection"])
def test_a_call_that_may_be_repeated_is(method: str, bad: Answer) -> None:
    with scripted_server(first(2, bad, answer_json(200, {"ok": True}))) as server:
        assert getattr(ServiceClient(server.url), method)("/v1/x") == {"ok": True}

    assert len(server.asked) == 3


@pytest.mark.parametrize("method", ["post", "patch"])
def test_a_call_that_may_not_be_repeated_is_made_once(method: str) -> None:
    with scripted_server(first(1, Answer(cut_at=0), answer_json(200, {}))) as server:
        with pytest.raises(ServiceUnreachable):
            getattr(ServiceClient(server.url), method)("/v1/x", json={})

        assert len(server.asked) == 1


def test_a_post_with_an_idempotency_key_is_repeated() -> None:
    with scripted_server(first(1, Answer(cut_at=0), answer_json(201, {}))) as server:
        ServiceClient(server.url).post("/v1/x", json={"a": 1}, headers={"Idempotency-Key": "k"})

    assert [asked.headers["Idempotency-Key"] for asked in server.asked] == ["k", "k"]
    assert [json.loads(asked.body) for asked in server.asked] == [{"a": 1}, {"a": 1}]


def test_a_service_that_stays_away_is_given_up() -> None:
    with scripted_server(lambda *_: AWAY) as server, pytest.raises(ServiceUnreachable, match="no store"):
        ServiceClient(server.url).get("/v1/x")

    assert len(server.asked) == TRIES


def test_a_refusal_carries_its_problem_document() -> None:
    document = {"title": "Not found", "status": 404, "detail": "there is no job 7"}
    with (
        scripted_server(lambda *_: answer_json(404, document)) as server,
        pytest.raises(ServiceProblem, match="there is no job 7") as caught,
    ):
        ServiceClient(server.url).get("/v1/jobs/7")

    assert (caught.value.status, caught.value.document) == (404, document)
    assert len(server.asked) == 1


def test_a_refusal_that_is_no_json_is_told_too() -> None:
    with (
        scripted_server(lambda *_: Answer(413, b"<h1>too large</h1>")) as server,
        pytest.raises(ServiceProblem, match="too large"),
    ):
        ServiceClient(server.url).get("/")


def test_an_empty_answer_is_none() -> None:
    with scripted_server(lambda *_: Answer(204)) as server:
        assert ServiceClient(server.url).delete("/v1/x") is None


def storing(put: Callable[[Asked], Answer] | None = None) -> Script:
    """A service and its store: an upload in two parts at `/part/1` and `/part/2`."""

    def answer(asked: Asked, before: int) -> Answer:
        if asked.method == "PUT":
            return put(asked) if put is not None else Answer(200)
        parts = [
            {"number": number, "url": f"http://{asked.headers['Host']}/part/{number}", "size_bytes": size}
            for number, size in ((1, 6), (2, 4))
        ]
        return answer_json(201, {"upload_id": "U", "parts": parts})

    return answer


def test_a_file_is_sent_in_parts_to_the_store_without_the_token(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"0123456789")
    told: list[tuple[int, int]] = []
    with scripted_server(storing()) as server:
        upload = ServiceClient(server.url, "secret").upload_file(
            "/v1/uploads", path, lambda done, total: told.append((done, total))
        )

    create, *parts = server.asked
    assert upload["upload_id"] == "U"
    assert json.loads(create.body) == {
        "filename": "a.zip",
        "size_bytes": 10,
        "sha256": "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
    }
    assert create.headers["Authorization"] == "Bearer secret"
    assert sorted(part.body for part in parts) == [b"012345", b"6789"]
    assert all("Authorization" not in part.headers for part in parts)
    assert told == sorted(told)
    assert told[-1] == (10, 10)


def test_a_part_that_breaks_off_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"0123456789")
    failures = [Answer(cut_at=0), Answer(503)]

    with scripted_server(storing(lambda _: failures.pop() if failures else Answer(200))) as server:
        ServiceClient(server.url).upload_file("/v1/uploads", path)

    sent = [asked.body for asked in server.asked if asked.method == "PUT"]
    assert len(sent) == 4
    assert {b"012345", b"6789"} == set(sent)


def test_a_part_that_the_store_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"0123456789")
    with (
        scripted_server(storing(lambda _: Answer(403, b"Request has expired"))) as server,
        pytest.raises(ServiceProblem, match="Request has expired"),
    ):
        ServiceClient(server.url).upload_file("/v1/uploads", path)


def serving(body: bytes = ZIP, cuts: tuple[int | None, ...] = (None,), range_works: bool = True) -> Script:
    """`/zip` redirects to `/blob`, whose connection breaks after ``cuts`` bytes, one entry a request."""
    left = list(cuts)

    def answer(asked: Asked, before: int) -> Answer:
        if asked.path == "/zip":
            return Answer(307, b"", {"Location": f"http://{asked.headers['Host']}/blob"})
        wanted = asked.headers.get("Range", "bytes=0-") if range_works else "bytes=0-"
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        cut_at = left.pop(0) if left else None
        if start >= len(body):
            return Answer(416)
        return Answer(206 if start else 200, body[start:], cut_at=cut_at)

    return answer


def ranges(asked: list[Asked]) -> list[str | None]:
    return [request.headers.get("Range") for request in asked if request.path == "/blob"]


def test_a_download_follows_the_redirect_without_the_token(tmp_path: Path) -> None:
    with scripted_server(serving()) as server:
        ServiceClient(server.url, "secret").download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    asked, fetched = server.asked
    assert (tmp_path / "m.zip").read_bytes() == ZIP
    assert asked.headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in fetched.headers
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with scripted_server(serving(cuts=(1000, 500_000, None))) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert (tmp_path / "m.zip").read_bytes() == ZIP
    assert ranges(server.asked) == [None, "bytes=1000-", "bytes=501000-"]


def test_a_download_without_ranges_begins_anew(tmp_path: Path) -> None:
    with scripted_server(serving(cuts=(1000, None), range_works=False)) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert (tmp_path / "m.zip").read_bytes() == ZIP


def test_what_an_earlier_call_left_is_used(tmp_path: Path) -> None:
    (tmp_path / "m.zip.part").write_bytes(ZIP[:5000])
    with scripted_server(serving()) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert (tmp_path / "m.zip").read_bytes() == ZIP
    assert ranges(server.asked) == ["bytes=5000-"]


@pytest.mark.parametrize("left", [b"of another file", ZIP + b"and more", b""])
def test_what_an_earlier_call_left_of_another_file_is_dropped(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "m.zip.part").write_bytes(left)
    with scripted_server(serving()) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert (tmp_path / "m.zip").read_bytes() == ZIP


def test_without_a_hash_nothing_of_an_earlier_call_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "m.zip.part").write_bytes(b"of another file")
    with scripted_server(serving()) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip")

    assert (tmp_path / "m.zip").read_bytes() == ZIP
    assert ranges(server.asked) == [None]


def test_a_download_of_other_bytes_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"old")
    with scripted_server(serving(b"not the zip")) as server, pytest.raises(DownloadCorrupt):
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_download_that_keeps_breaking_is_given_up(tmp_path: Path) -> None:
    with scripted_server(serving(cuts=(100,) * TRIES)) as server, pytest.raises(ServiceUnreachable):
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert not (tmp_path / "m.zip").exists()


def test_a_service_that_is_away_for_a_moment_does_not_end_a_download(tmp_path: Path) -> None:
    serve = serving()

    def answer(asked: Asked, before: int) -> Answer:
        return AWAY if before < 2 else serve(asked, before)

    with scripted_server(answer) as server:
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip", ZIP_SHA256)

    assert (tmp_path / "m.zip").read_bytes() == ZIP


def test_a_refused_download_says_why(tmp_path: Path) -> None:
    document = {"detail": "there is no version 9"}
    with (
        scripted_server(lambda *_: answer_json(404, document)) as server,
        pytest.raises(ServiceProblem, match="no version 9"),
    ):
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip")


def test_redirects_without_end_are_given_up(tmp_path: Path) -> None:
    with (
        scripted_server(lambda *_: Answer(307, b"", {"Location": "/zip"})) as server,
        pytest.raises(ServiceUnreachable, match="redirects"),
    ):
        ServiceClient(server.url).download("/zip", tmp_path / "m.zip")
