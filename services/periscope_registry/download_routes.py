"""Downloading a version's zip: a redirect to the store, or the bytes themselves for closed networks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field

from periscope import keys
from periscope.store import ObjectStore, StoreUnavailable
from periscope.web.auth import current_principal, requires
from periscope.web.openapi import gives
from periscope_registry.answers import is_known, not_modified, quoted
from periscope_registry.download_counts import How
from periscope_registry.routes import MODELS, Api, VersionPath
from periscope_registry.rules import Busy, NotYours, Unknown, byte_range, zip_etag

MAX_STREAMS = 8
"""Half of a worker's threads: the others stay free for short requests."""
PIECE_BYTES = 1 << 20
"""What one stream holds in memory."""


class ZipQuery(BaseModel):
    """How to get the zip."""

    proxy: bool = Field(False, description="Send the bytes from here instead of redirecting to the store")


class ZipAddress(BaseModel):
    """Where the zip is, for those who do not follow ``Location``."""

    url: str
    sha256: str
    size_bytes: int


_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_RESPONSES: dict[str | int | HTTPStatus, type[BaseModel] | dict[Any, Any] | None] = {
    HTTPStatus.PARTIAL_CONTENT: {"description": "The range that was asked for", "content": _ZIP},
    HTTPStatus.NOT_MODIFIED: {"description": "The zip has the ETag that was sent"},
    HTTPStatus.TEMPORARY_REDIRECT: ZipAddress,
}


def download_routes(api: Api) -> APIBlueprint:
    """The zip."""
    routes = APIBlueprint("downloads", __name__, abp_tags=[MODELS])
    streams = threading.BoundedSemaphore(MAX_STREAMS)

    @routes.get("/v1/models/<name>/versions/<int:number>/zip", responses=_RESPONSES)
    @requires("viewer", "device")
    @gives("application/zip")
    def get_zip(path: VersionPath, query: ZipQuery) -> Response:
        """307 to a short-lived address in the store; with ``proxy=1`` the bytes, with Range."""
        _require_own(api, path.name)
        manifest = api.catalogue.version(api.catalogue.get(path.name), path.number)
        etag = zip_etag(manifest)
        if is_known(etag):
            return not_modified(etag)
        response = _stream(api.store, manifest, streams) if query.proxy else _redirect(api, manifest)
        how: How = "proxy" if query.proxy else "redirect"
        api.downloads.count(path.name, path.number, current_principal().device_id, how)
        return response

    return routes


def _require_own(api: Api, model: str) -> None:
    """A device gets the zips of its own model. Raises NotYours, Unknown."""
    principal = current_principal()
    if principal.role == "device" and _model_of(api, str(principal.device_id)) != model:
        raise NotYours(f"the device {principal.device_id!r} should have another model than {model!r}")


def _model_of(api: Api, device: str) -> Any:
    return api.devices.wish_of(api.devices.get(device))["model"]


def _redirect(api: Api, manifest: Mapping[str, Any]) -> Response:
    blob = manifest["zip"]
    filename = f"{manifest['model']}-{manifest['version']}.zip"
    url = api.store.presign_get(keys.blob(blob["sha256"]), api.settings.download_expires_s, filename=filename)
    response = jsonify(url=url, sha256=blob["sha256"], size_bytes=blob["size_bytes"])
    response.status_code = HTTPStatus.TEMPORARY_REDIRECT
    response.headers.update(
        {"Location": url, "ETag": quoted(zip_etag(manifest)), "Cache-Control": "private, no-store"}
    )
    return response


def _stream(store: ObjectStore, manifest: Mapping[str, Any], streams: threading.BoundedSemaphore) -> Response:
    """200 with everything, or 206 with a range. Raises OutOfRange, Busy, Unknown."""
    size, etag, key = manifest["zip"]["size_bytes"], zip_etag(manifest), keys.blob(manifest["zip"]["sha256"])
    wanted = byte_range(request.headers.get("Range"), size) if _range_holds(etag) else None
    first, last = wanted or (0, size - 1)
    if store.head(key) is None:
        raise Unknown("the store has lost this zip; publish it again")
    if not streams.acquire(blocking=False):
        raise Busy("many zips are being sent; try again, or download without proxy=1")
    response = Response(
        _pieces(store, key, first, last),
        HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT,
        content_type="application/zip",
    )
    response.call_on_close(streams.release)  # Also when the client goes away, and for HEAD.
    response.headers.update(
        {"ETag": quoted(etag), "Accept-Ranges": "bytes", "Content-Length": str(last - first + 1)}
    )
    if wanted is not None:
        response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response


def _range_holds(etag: str) -> bool:
    """Whether ``If-Range``, where there is one, names what is here."""
    return request.headers.get("If-Range", quoted(etag)).strip() == quoted(etag)


def _pieces(store: ObjectStore, key: str, first: int, last: int) -> Iterator[bytes]:
    for start in range(first, last + 1, PIECE_BYTES):
        length = min(PIECE_BYTES, last + 1 - start)
        piece = store.get_range(key, start, length)
        if len(piece) != length:
            # The length is promised already: breaking off is the one way left to say no.
            raise StoreUnavailable(f"{key} ended after {start + len(piece)} bytes")
        yield piece
