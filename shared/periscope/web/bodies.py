"""Request bodies: their size, their media type, and JSON that is really JSON; checked before any view.

The views' own validation would take a broken body for none at all, and Python's JSON takes ``NaN``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from flask import Flask, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import LengthRequired, RequestEntityTooLarge, UnsupportedMediaType

from periscope.web.problems import BadRequest

MAX_BODY_BYTES = 1 << 20

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "periscope_media_types"
_LIMIT = "periscope_max_body_bytes"


def accepts(*media_types: str, max_bytes: int = MAX_BODY_BYTES) -> Callable[[View], View]:
    """Mark a view that takes other bodies than JSON, up to a size."""

    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, media_types)
        setattr(view, _LIMIT, max_bytes)
        return view

    return mark


def install_body_check(app: Flask) -> None:
    """Answer 400, 411, 413 and 415 for bodies that no view should see."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json = StrictJSON(app)

    @app.before_request
    def check_body() -> None:
        if request.endpoint is None or not _has_body():
            return
        view = app.view_functions[request.endpoint]
        wanted: tuple[str, ...] | None = getattr(view, _ATTRIBUTE, None)
        request.max_content_length = getattr(view, _LIMIT, MAX_BODY_BYTES)
        if request.mimetype not in (wanted or ("application/json",)):
            names = " or ".join(wanted or ("application/json",))
            raise UnsupportedMediaType(f"send {names}, not {request.mimetype or 'an unnamed type'}")
        if wanted is None:
            _require_json()
        elif not request.content_length:
            raise LengthRequired("send the body with its Content-Length")
        elif request.content_length > request.max_content_length:
            raise RequestEntityTooLarge


class StrictJSON(DefaultJSONProvider):
    """JSON as its standard has it: no ``NaN``, no ``Infinity``, no number beyond a double."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse. Raises ValueError."""
        try:
            return json.loads(s, parse_constant=_refuse, parse_float=_finite, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _has_body() -> bool:
    return bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def _require_json() -> None:
    body = request.get_data(cache=True)
    if len(body) >= MAX_BODY_BYTES:
        # A body without a length is cut off there, not refused.
        raise RequestEntityTooLarge
    try:
        request.json_module.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number
