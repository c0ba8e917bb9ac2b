"""A service for gunicorn whose one route takes its time."""

from __future__ import annotations

import time
from typing import Any

from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry

from periscope.tokens import Principal
from periscope.web.app import create_service_app
from periscope.web.auth import requires
from periscope.wire.base import RequestModel

SLOW_S = 4.0


class Thing(RequestModel):
    name: str


def create_app() -> OpenAPI:
    app = create_service_app(
        "slow",
        "1",
        authenticator=lambda _: Principal("admin", "tester"),
        store_ready=lambda: None,
        metrics_registry=CollectorRegistry(),
    )

    @app.get("/v1/slow")
    @requires("viewer")
    def slow() -> dict[str, Any]:
        time.sleep(SLOW_S)
        return {}

    @app.post("/v1/things")
    @requires("editor")
    def make(body: Thing) -> dict[str, Any]:
        return {"name": body.name}

    return app
