"""URLs of devices: what they should have, what they tell, and the tokens for them and for people."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from periscope.web.auth import current_principal, requires
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.devices import (
    DesiredResponse,
    DeviceList,
    DeviceRequest,
    DeviceResponse,
    ReportList,
    ReportsAccepted,
    ReportsRequest,
)
from periscope.wire.models import Name, NewTokenResponse, TokenList, TokenRequest
from periscope_registry.answers import (
    answer,
    device_response,
    expect,
    is_known,
    not_modified,
    quoted,
    token_response,
)
from periscope_registry.devices import Wish
from periscope_registry.routes import Api
from periscope_registry.rules import NotYours, Unknown, content_etag

DEVICES = Tag(name="devices", description="Robots: what each should have, and what it tells")
TOKENS = Tag(name="tokens", description="Bearer tokens of all services")


class DevicePath(BaseModel):
    """Names a device."""

    device: Name


class TokenPath(BaseModel):
    """Names a token."""

    token_id: str = Field(max_length=26)


def device_routes(api: Api) -> APIBlueprint:
    """What people do with devices."""
    routes = APIBlueprint("devices", __name__, abp_tags=[DEVICES])

    @routes.put(
        "/v1/devices/<device>", responses={HTTPStatus.OK: DeviceResponse, HTTPStatus.CREATED: DeviceResponse}
    )
    @requires("editor")
    def put_device(path: DevicePath, body: DeviceRequest) -> Response:
        """Register a device, or change what it should have."""
        wish = Wish(body.model, body.alias, body.version, body.group, body.activation)
        document, is_new = api.devices.wish(path.device, wish, expect)
        return answer(
            device_response(document, api.devices.wish_of(document), api.devices.state(document)),
            HTTPStatus.CREATED if is_new else HTTPStatus.OK,
            ETag=quoted(document.etag),
        )

    @routes.get("/v1/devices", responses={HTTPStatus.OK: DeviceList})
    @requires("viewer")
    def list_devices(query: PageQuery) -> Response:
        """Devices, oldest first, with the last that was heard of each."""
        chosen, token = page(
            api.devices.list(), query.page_size, query.page_token, lambda document: document.id
        )
        states = api.devices.states()
        items = [
            device_response(document, api.devices.wish_of(document), states.get(document.id, {}))
            for document in chosen
        ]
        return answer(DeviceList(items=items, next_page_token=token))

    @routes.get("/v1/devices/<device>", responses={HTTPStatus.OK: DeviceResponse})
    @requires("viewer")
    def get_device(path: DevicePath) -> Response:
        """A device; its ETag is what ``If-Match`` takes."""
        document = api.devices.get(path.device)
        body = device_response(document, api.devices.wish_of(document), api.devices.state(document))
        return answer(body, ETag=quoted(document.etag))

    @routes.get("/v1/devices/<device>/reports", responses={HTTPStatus.OK: ReportList})
    @requires("viewer")
    def list_reports(path: DevicePath, query: PageQuery) -> Response:
        """What a device told, in the order it came."""
        reports = api.devices.state(api.devices.get(path.device))["reports"]
        places = [f"{report['received_at']}/{place:04d}" for place, report in enumerate(reports)]
        chosen, token = page(
            list(zip(places, reports, strict=True)), query.page_size, query.page_token, lambda pair: pair[0]
        )
        return answer(ReportList(items=[report for _, report in chosen], next_page_token=token))

    return routes


def agent_routes(api: Api) -> APIBlueprint:
    """What a device itself calls, with a token of its own."""
    routes = APIBlueprint("agents", __name__, abp_tags=[DEVICES])

    @routes.get("/v1/devices/<device>/desired", responses={HTTPStatus.OK: DesiredResponse})
    @requires("viewer", "device")
    def get_desired(path: DevicePath) -> Response:
        """What the device should have; 304 while that is what ``If-None-Match`` names."""
        ask = api.devices.poll if _calls_itself(path.device) else api.devices.desired
        desired = ask(path.device)
        etag = content_etag(desired)
        if is_known(etag):
            return not_modified(etag)
        return answer(DesiredResponse(**desired), ETag=quoted(etag))

    @routes.post("/v1/devices/<device>/reports", responses={HTTPStatus.OK: ReportsAccepted})
    @requires("device")
    def post_reports(path: DevicePath, body: ReportsRequest) -> Response:
        """Tell what happened; a report that was sent before counts once."""
        _calls_itself(path.device)
        reports = [report.model_dump(mode="json") for report in body.reports]
        inventory = None if body.inventory is None else body.inventory.model_dump(mode="json")
        return answer(ReportsAccepted(accepted=api.devices.add_reports(path.device, reports, inventory)))

    return routes


def token_routes(api: Api) -> APIBlueprint:
    """Make, list, revoke."""
    routes = APIBlueprint("tokens", __name__, abp_tags=[TOKENS])

    @routes.post("/v1/tokens", responses={HTTPStatus.CREATED: NewTokenResponse})
    @requires("admin")
    def create_token(body: TokenRequest) -> Response:
        """Make a token; its text is in this answer and nowhere else."""
        text, document = api.tokens.issue(body.role, body.name, body.device_id)
        made = NewTokenResponse(token=text, **token_response(document).model_dump())
        return answer(made, HTTPStatus.CREATED, Cache_Control="no-store")

    @routes.get("/v1/tokens", responses={HTTPStatus.OK: TokenList})
    @requires("admin")
    def list_tokens(query: PageQuery) -> Response:
        """Tokens without their texts, oldest first."""
        chosen, token = page(
            api.tokens.list(), query.page_size, query.page_token, lambda document: document.id
        )
        items = [token_response(document) for document in chosen]
        return answer(TokenList(items=items, next_page_token=token))

    @routes.delete("/v1/tokens/<token_id>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("admin")
    def revoke_token(path: TokenPath) -> Response:
        """Make a token worthless, on every service within 10 seconds."""
        if not api.tokens.revoke(path.token_id):
            raise Unknown(f"there is no token {path.token_id!r}")
        return Response(status=HTTPStatus.NO_CONTENT)

    return routes


def _calls_itself(device: str) -> bool:
    """Whether a device asks, which must be the one in the path. Raises NotYours."""
    principal = current_principal()
    if principal.role != "device":
        return False
    if principal.device_id != device:
        raise NotYours(f"this token belongs to the device {principal.device_id!r}, not to {device!r}")
    return True
