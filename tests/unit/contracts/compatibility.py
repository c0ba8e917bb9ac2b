"""Whether an older client still works with a newer service, as far as the two OpenAPI documents tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
PREFIX = "#/components/schemas/"


def breaking_changes(old: Document, new: Document) -> list[str]:
    """What an older client would stumble over, in words; adding to answers and optional wishes is fine."""
    return [*_operations(old, new), *_schemas(old, new)]


def _operations(old: Document, new: Document) -> Iterator[str]:
    for path, item in old["paths"].items():
        for method, operation in item.items():
            name = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{name} is gone"
                continue
            yield from _parameters(name, operation, now)
            for status in operation["responses"]:
                if status.startswith("2") and status not in now["responses"]:
                    yield f"{name} no longer answers {status}"


def _parameters(name: str, old: Document, new: Document) -> Iterator[str]:
    before = {(each["in"], each["name"]) for each in old.get("parameters", [])}
    after = {(each["in"], each["name"]): each for each in new.get("parameters", [])}
    for where, parameter in sorted(before - set(after)):
        yield f"{name} no longer takes the {where} parameter {parameter}"
    for key, parameter in after.items():
        if parameter.get("required") and key not in before:
            yield f"{name} requires the new {key[0]} parameter {key[1]}"


def _schemas(old: Document, new: Document) -> Iterator[str]:
    asked, answered = _reachable(old, "requestBody"), _reachable(old, "responses")
    schemas, now = old["components"]["schemas"], new["components"]["schemas"]
    for name in sorted(asked | answered):
        if name not in now:
            yield f"the schema {name} is gone"
            continue
        before, after = schemas[name], now[name]
        for field in before.get("properties", {}):
            if field not in after.get("properties", {}):
                yield f"{name} no longer has the field {field}"
        if name in asked:
            for field in sorted(set(after.get("required", [])) - set(before.get("required", []))):
                yield f"{name} requires the field {field}"
            for value in before.get("enum", []):
                if value not in after.get("enum", []):
                    yield f"{name} no longer takes {value!r}"


def _reachable(document: Document, part: str) -> set[str]:
    """Names of all schemas below one part of all operations."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    open_ends: list[Any] = [
        operation.get(part, {}) for item in document["paths"].values() for operation in item.values()
    ]
    while open_ends:
        for name in _references(open_ends.pop()):
            if name not in found:
                found.add(name)
                open_ends.append(schemas[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            yield reference.removeprefix(PREFIX)
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
