"""A small service on the web plumbing, with one route for each way to answer."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry
from pydantic import Field

from periscope.documents import Documents
from periscope.store import ObjectStore, StoreUnavailable
from periscope.tokens import Tokens
from periscope.web.app import create_service_app
from periscope.web.auth import current_principal, public, requires
from periscope.web.bodies import accepts
from periscope.web.idempotency import idempotent, install_idempotency
from periscope.web.problems import ConflictProblem, NotFound, map_errors
from periscope.wire.base import RequestModel

ADMIN = "the-admin-token"


class Thing(RequestModel):
    name: str
    size: float = Field(1, ge=1)


class ThingPath(RequestModel):
    number: int


class OwnError(Exception):
    pass


class StoreState:
    away = False

    def require(self) -> None:
        if self.away:
            raise StoreUnavailable("http://10.0.0.1:8333 is gone")


def create_things(store: ObjectStore, tokens: Tokens, state: StoreState) -> OpenAPI:
    app = create_service_app(
        "things",
        "1",
        authenticator=tokens.authenticate,
        store_ready=state.require,
        metrics_registry=CollectorRegistry(),
    )
    install_idempotency(app, Documents(store))
    _add_writing_routes(app)
    _add_reading_routes(app)
    _add_failing_routes(app)
    map_errors(app, {OwnError: NotFound})
    return app


def _add_writing_routes(app: OpenAPI) -> None:
    made: list[str] = []

    @app.post("/v1/things")
    @requires("editor")
    @idempotent
    def make(body: Thing) -> Response:
        if body.name in made and body.name == "unique":
            raise ConflictProblem("there is one already")
        made.append(body.name)
        answer = f'{{"made": {len(made)}}}'
        return Response(answer, 201, {"Location": f"/v1/things/{len(made)}"}, mimetype="application/json")

    @app.delete("/v1/things")
    @requires("editor")
    def forget() -> tuple[str, int]:
        made.clear()
        return "", 204

    @app.get("/v1/things")
    @requires("viewer")
    def show() -> dict[str, Any]:
        return {"made": made, "caller": current_principal().name}

    @app.put("/v1/picture")
    @requires("editor")
    @accepts("image/png", "image/jpeg")
    def draw() -> dict[str, Any]:
        return {"size_bytes": len(request.get_data())}


def _add_reading_routes(app: OpenAPI) -> None:
    @app.get("/v1/things/<int:number>")
    @requires("viewer", "device")
    def one(path: ThingPath) -> dict[str, Any]:
        return {"number": path.number}

    @app.get("/v1/own")
    @requires("device")
    def own() -> dict[str, Any]:
        return {}


def _add_failing_routes(app: OpenAPI) -> None:
    @app.get("/v1/broken")
    @public
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    @app.get("/v1/mapped")
    @public
    def mapped() -> dict[str, Any]:
        raise OwnError("there is none")

    @app.get("/v1/away")
    @public
    def away() -> dict[str, Any]:
        raise StoreUnavailable("internal address")


def bearer(text: str = ADMIN) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}
