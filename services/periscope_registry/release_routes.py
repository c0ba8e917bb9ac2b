"""URLs of signed documents: the roots that name the keys, and a device's release for a USB stick."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field

from periscope.web.auth import requires
from periscope.wire.releases import ReleaseFile, RootResponse, SignedRoot
from periscope_registry.answers import answer
from periscope_registry.device_routes import DEVICES, DevicePath
from periscope_registry.routes import Api


class RootPath(BaseModel):
    """Names a root document."""

    version: int = Field(ge=1, lt=10**8)


def release_routes(api: Api) -> APIBlueprint:
    """Roots and releases."""
    routes = APIBlueprint("releases", __name__, abp_tags=[DEVICES])

    @routes.get("/v1/roots/<int:version>", responses={HTTPStatus.OK: RootResponse})
    @requires("viewer", "device")
    def get_root(path: RootPath) -> Response:
        """A root document: which keys sign releases."""
        return answer(RootResponse(**api.roots.get(path.version)))

    @routes.put(
        "/v1/roots/<int:version>", responses={HTTPStatus.OK: RootResponse, HTTPStatus.CREATED: RootResponse}
    )
    @requires("admin")
    def put_root(path: RootPath, body: SignedRoot) -> Response:
        """Add the next root document, signed as the one before asks; one that is there never changes."""
        is_new = api.roots.add(path.version, body.model_dump())
        told = RootResponse(**api.roots.get(path.version))
        return answer(told, HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    @routes.get("/v1/devices/<device>/release", responses={HTTPStatus.OK: ReleaseFile})
    @requires("editor")
    def get_release(path: DevicePath) -> Response:
        """What stands beside the device's zip on a USB stick; 409 where this registry has no release key."""
        return answer(ReleaseFile(**api.devices.release_file(path.device)))

    return routes
