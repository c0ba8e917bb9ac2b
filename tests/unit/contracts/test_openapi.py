"""The documented interface is the one that is served, and older clients are not broken unawares."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.contracts.compatibility import breaking_changes
from tests.unit.contracts.documents import as_text, current_documents, written

Document = dict[str, Any]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    return current_documents(tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("service", ["dataset", "training", "registry"])
def test_the_documented_interface_is_the_one_served(service: str, documents: dict[str, Document]) -> None:
    assert breaking_changes(json.loads(written(service)), documents[service]) == []
    assert as_text(documents[service]) == written(service), "call `make openapi` and commit what it writes"


@pytest.fixture
def registry() -> Document:
    document: Document = json.loads(written("registry"))
    return document


def schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


BREAKS: dict[str, tuple[Callable[[Document], object], str]] = {
    "a call that is gone": (lambda d: d["paths"].pop("/v1/models"), "GET /v1/models is gone"),
    "another success": (
        lambda d: d["paths"]["/v1/models"]["get"]["responses"].pop("200"),
        "GET /v1/models no longer answers 200",
    ),
    "a field less in an answer": (
        lambda d: schema(d, "ModelResponse")["properties"].pop("aliases"),
        "ModelResponse no longer has the field aliases",
    ),
    "a field less in a wish": (
        lambda d: schema(d, "ModelRequest")["properties"].pop("description"),
        "ModelRequest no longer has the field description",
    ),
    "a field that must be given now": (
        lambda d: schema(d, "ModelRequest").update(required=["description"]),
        "ModelRequest requires the field description",
    ),
    "a parameter that must be given now": (
        lambda d: d["paths"]["/v1/models"]["get"]["parameters"].append(
            {"in": "query", "name": "team", "required": True}
        ),
        "GET /v1/models requires the new query parameter team",
    ),
    "a parameter less": (
        lambda d: d["paths"]["/v1/models"]["get"].update(parameters=[]),
        "GET /v1/models no longer takes the query parameter page_size",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_older_clients_is_named(name: str, registry: Document) -> None:
    change, told = BREAKS[name]
    changed = copy.deepcopy(registry)

    change(changed)

    assert told in breaking_changes(registry, changed)


def test_more_in_answers_and_optional_wishes_break_nothing(registry: Document) -> None:
    changed = copy.deepcopy(registry)
    schema(changed, "ModelResponse")["properties"]["colour"] = {"type": "string"}
    schema(changed, "ModelRequest")["properties"]["colour"] = {"type": "string"}
    changed["paths"]["/v1/colours"] = copy.deepcopy(changed["paths"]["/v1/models"])

    assert breaking_changes(registry, changed) == []


def test_a_service_in_a_fresh_folder_has_the_same_document(
    documents: dict[str, Document], tmp_path: Path
) -> None:
    assert current_documents(tmp_path) == documents
