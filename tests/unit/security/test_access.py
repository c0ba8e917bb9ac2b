"""Every method of every address of every service, called without a token, with a wrong one, and by each role."""

from __future__ import annotations

from pathlib import Path

import pytest

from periscope.roles import ROLES
from tests.unit.contracts.documents import current_documents
from tests.unit.security.services import Route, Services

PUBLIC = {
    "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/", "/static/<path:filename>",
    "/v1/devices/<string:device>:enrol",  # Its one-time code is what lets a robot in.
    "/v1/jobs/<job_id>/attempts/<int:attempt>/progress",  # The token of the job's attempt, checked by the route.
}  # fmt: skip
"""Addresses that anybody may call; the list is short on purpose."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return Services.open(tmp_path_factory.mktemp("services"))


@pytest.fixture(scope="module")
def routes(services: Services) -> list[Route]:
    found = list(services.routes())
    assert len(found) > 100
    return found


def test_what_anybody_may_call_is_on_a_short_list(routes: list[Route]) -> None:
    public = {route.rule for route in routes if route.access == "public"}
    assert {
        rule for rule in public if not rule.startswith(("/openapi", "/docs", "/swagger", "/static"))
    } <= PUBLIC


def test_without_a_token_that_is_known_nothing_opens(services: Services, routes: list[Route]) -> None:
    open_ones = [
        f"{route}: {status}"
        for route in routes
        if route.access != "public"
        for token in (None, "psc_01JZZZZZZZZZZZZZZZZZZZZZZZ_wrong")
        if (status := services.status(route, token)) != 401
    ]
    assert open_ones == []


def test_every_role_gets_in_where_it_may_and_nowhere_else(services: Services, routes: list[Route]) -> None:
    wrong = []
    for route in routes:
        if route.access == "public":
            continue
        for role in ROLES:
            status = services.status(route, services.tokens[route.service][role])
            if not route.lets_in(role) and status != 403:
                wrong.append(f"{route} lets {role} in: {status}")
            # A robot's token opens what is its own; that others' is refused is tested where robots are.
            if route.lets_in(role) and role != "device" and status in (401, 403):
                wrong.append(f"{route} keeps {role} out: {status}")
    assert wrong == []


def test_nothing_that_changes_anything_is_for_viewers(routes: list[Route]) -> None:
    looking = (":predict", ":layers", ":preview", ":describe")
    changing = [
        str(route)
        for route in routes
        if route.method != "GET" and route.access == "viewer" and not route.rule.endswith(looking)
    ]
    assert changing == []


def test_no_service_is_given_an_address_to_call(tmp_path: Path) -> None:
    """Without a URL in a request there is nothing to send a service to: no forged requests of its own."""
    asked = []
    for name, document in current_documents(tmp_path).items():
        bodies = {
            reference.rsplit("/", 1)[-1]
            for path in document["paths"].values()
            for operation in path.values()
            if isinstance(operation, dict)
            for content in operation.get("requestBody", {}).get("content", {}).values()
            if (reference := content["schema"].get("$ref", ""))
        }
        for body in bodies:
            fields = document["components"]["schemas"][body].get("properties", {})
            asked += [
                f"{name} {body}.{field}"
                for field in fields
                if any(w in field for w in ("url", "uri", "host", "webhook", "callback"))
            ]
    assert asked == []
