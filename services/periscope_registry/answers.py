"""Documents and manifests as the bodies that clients see, and conditional requests."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request

from periscope.documents import Body, Document
from periscope.wire.base import ResponseModel
from periscope.wire.devices import DeviceResponse
from periscope.wire.models import AliasResponse, AliasSummary, ModelResponse, TokenResponse
from periscope_registry.catalogue import Manifests
from periscope_registry.rules import Changed


def answer(body: ResponseModel, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """A body as JSON."""
    response = Response(body.model_dump_json(), status, content_type="application/json")
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def answer_document(body: ResponseModel, document: Document, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A document's body with its ETag, or 304 where the caller has it already."""
    if is_known(document.etag):
        return not_modified(document.etag)
    return answer(body, status, ETag=quoted(document.etag))


def quoted(etag: str) -> str:
    """An ETag as headers carry it."""
    return f'"{etag}"'


def is_known(etag: str) -> bool:
    """Whether a reading request's ``If-None-Match`` names this ETag."""
    return request.method in ("GET", "HEAD") and request.if_none_match.contains(etag)


def not_modified(etag: str) -> Response:
    """304: what the caller has is still right."""
    return Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": quoted(etag)})


def is_conditional() -> bool:
    """Whether a writing request says what it expects to replace."""
    return "If-Match" in request.headers or "If-None-Match" in request.headers


def expect(etag: str | None) -> None:
    """Check a writing request's preconditions against what is there. Raises Changed."""
    if "If-None-Match" in request.headers and etag is not None and request.if_none_match.contains(etag):
        raise Changed("it exists already; read it, then send its ETag as If-Match")
    if "If-Match" in request.headers and (etag is None or not request.if_match.contains(etag)):
        raise Changed("it is not what you have read; read it again and send its ETag as If-Match")


def model_response(document: Document, manifests: Manifests, aliases: list[Document]) -> ModelResponse:
    """A model with its newest version and where its aliases point."""
    summaries = [AliasSummary(**alias_pair(alias.body)) for alias in aliases]
    known = manifests.all(document.id)
    return ModelResponse(
        **described(document.body, "name", "description", "created_at", "updated_at"),
        tags=document.body.get("tags") or {},
        latest_version=known[-1]["version"] if known else None,
        aliases=sorted(summaries, key=lambda summary: summary.alias),
    )


def alias_pair(body: Mapping[str, Any]) -> Body:
    """An alias's name and version."""
    return described(body, "alias", "version")


def alias_response(model: str, document: Document) -> AliasResponse:
    """An alias with its history."""
    return AliasResponse(model=model, **described(document.body, "alias", "version", "history", *_TIMES))


def device_response(document: Document, wish: Mapping[str, Any], state: Mapping[str, Any]) -> DeviceResponse:
    """A device, what it should have, and the last that was heard of it."""
    reports = state.get("reports") or [None]
    return DeviceResponse(
        **described(document.body, "device", *_TIMES),
        **wish,
        group=document.body.get("group"),
        follows_group=document.body["model"] is None,
        last_contact_at=state.get("last_contact_at"),
        last_report=reports[-1],
        inventory=state.get("inventory"),
    )


def token_response(document: Document) -> TokenResponse:
    """A token without its hash."""
    return TokenResponse(
        id=document.id, **described(document.body, "role", "name", "device_id", "created_at")
    )


def described(body: Mapping[str, Any], *names: str) -> Body:
    """Some fields of a body."""
    return {name: body[name] for name in names}


_TIMES = ("created_at", "updated_at")
