"""The application every service starts from: request ids, logs, probes, metrics, its own description."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI
from werkzeug.test import Client

from periscope.tokens import Tokens
from periscope.web.gunicorn_conf import only_probes
from periscope.web.logs import configure_logging
from periscope.web.pages import page
from periscope.web.problems import BadRequest
from tests.unit.periscope.things import StoreState, bearer


def test_a_given_request_id_is_kept_and_a_wild_one_is_not(client: FlaskClient) -> None:
    kept = client.get("/livez", headers={"X-Request-Id": "abc-1"})
    made = client.get("/livez", headers={"X-Request-Id": "a b{}"})

    assert kept.headers["X-Request-Id"] == "abc-1"
    assert made.headers["X-Request-Id"] != "a b{}"


def test_readiness_follows_the_store_and_life_does_not(client: FlaskClient, state: StoreState) -> None:
    assert client.get("/readyz").status_code == 200
    state.away = True

    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200


def test_requests_are_counted_by_route(client: FlaskClient) -> None:
    client.get("/v1/things", headers=bearer())
    client.get("/v1/nothing/1")
    client.get("/v1/nothing/2")

    text = client.get("/metrics").get_data(as_text=True)

    assert (
        'periscope_http_requests_total{method="GET",route="/v1/things",service="things",status="200"} 1.0'
        in text
    )
    assert 'route="(none)",service="things",status="404"} 2.0' in text


def test_the_second_port_serves_probes_only(app: OpenAPI) -> None:
    client = Client(only_probes(app.wsgi_app))

    assert client.get("/livez").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/v1/things").status_code == 404


def test_the_service_describes_itself(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    docs = client.get("/docs/swagger")

    assert document["openapi"].startswith("3.1")
    assert "/v1/things" in document["paths"]
    assert docs.status_code == 200
    assert "https://" not in docs.get_data(as_text=True)


def test_pages_go_on_where_they_stopped() -> None:
    items = [f"{number:02d}" for number in range(7)]
    first, token = page(items, 3, None, str)
    second, token_2 = page(["00a", *items], 3, token, str)
    third, end = page(items, 3, token_2, str)

    assert (first, second, third) == (items[:3], items[3:6], items[6:])
    assert end is None
    with pytest.raises(BadRequest):
        page(items, 3, "\xff", str)


def test_the_docs_page_has_all_it_loads(client: FlaskClient) -> None:
    page_ = client.get("/docs/swagger")
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page_.get_data(as_text=True))

    assert wanted
    for path in wanted:
        with client.get(f"/docs/{path}") as asset:
            assert asset.status_code == 200
    assert page_.headers["Content-Security-Policy"] == "default-src 'self' 'unsafe-inline' data:"
    assert '"validatorUrl": null' in page_.get_data(as_text=True)


def test_the_description_tells_who_may_call_and_how_refusals_look(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    make, broken = document["paths"]["/v1/things"]["post"], document["paths"]["/v1/broken"]["get"]
    one = document["paths"]["/v1/things/{number}"]["get"]

    assert make["security"] == [{"bearer": []}]
    assert "editor" in make["responses"]["403"]["description"]
    assert "viewer or device" in one["responses"]["403"]["description"]
    assert make["responses"]["422"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    }
    assert "security" not in broken
    assert "detail" in document["components"]["schemas"]["ProblemDetails"]["properties"]


def test_readiness_gives_no_address_away(client: FlaskClient, state: StoreState) -> None:
    state.away = True

    assert "10.0.0.1" not in client.get("/readyz").get_data(as_text=True)


def test_requests_are_timed_by_route_and_not_by_what_fills_it(client: FlaskClient) -> None:
    for number in range(3):
        client.get(f"/v1/things/{number}", headers=bearer())
    client.get("/v1/broken")

    text = client.get("/metrics").get_data(as_text=True)

    labels = 'method="GET",route="/v1/things/<int:number>",service="things"'
    assert f"periscope_http_request_duration_seconds_count{{{labels}}} 3.0" in text
    assert 'route="/v1/broken",service="things",status="500"} 1.0' in text
    assert "/v1/things/1" not in text


def test_a_made_up_method_makes_no_label_of_its_own(client: FlaskClient) -> None:
    client.open("/v1/things", method="BREW")

    text = client.get("/metrics").get_data(as_text=True)

    assert "BREW" not in text
    assert 'method="other"' in text


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    yield
    root.handlers[:] = handlers
    structlog.reset_defaults()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("_restored_logging")
def test_each_request_is_one_line_of_json(
    client: FlaskClient, tokens: Tokens, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("things")
    text, _ = tokens.issue("viewer", "grafana")
    client.get("/v1/things", headers={**bearer(text), "X-Request-Id": "r1"})
    client.get("/v1/broken", headers={"X-Request-Id": "r2"})
    client.get("/livez")

    lines = lines_of(capsys)

    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("request", "r1"),
        ("request_failed", "r2"),
        ("request", "r2"),
    ]
    assert {line["service"] for line in lines} == {"things"}
    assert (lines[0]["caller"], lines[0]["status"], lines[0]["path"]) == ("grafana", 200, "/v1/things")
    assert "ZeroDivisionError: a secret" in lines[1]["exception"]
    assert text not in str(lines)


@pytest.mark.usefixtures("_restored_logging")
def test_other_libraries_log_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("things")
    logging.getLogger("gunicorn.error").error("worker %s died", 7)
    logging.getLogger("urllib3").info("not worth a line")

    (line,) = lines_of(capsys)

    assert (line["event"], line["service"], line["level"]) == ("worker 7 died", "things", "error")
