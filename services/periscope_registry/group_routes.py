"""URLs of groups of devices, their rollouts, and of enrolment."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel

from periscope.documents import Document
from periscope.web.auth import public, requires
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.device_groups import (
    EnrolledResponse,
    EnrolmentCode,
    EnrolRequest,
    GroupList,
    GroupRequest,
    GroupResponse,
    RolloutRequest,
)
from periscope.wire.models import Name
from periscope_registry.answers import answer, answer_document, expect, quoted
from periscope_registry.device_routes import DEVICES, DevicePath
from periscope_registry.routes import Api


class GroupPath(BaseModel):
    """Names a group; ``fleet`` is that of the devices that are in none."""

    group: Name


class ActionPath(GroupPath):
    """Names what to do with a group's rollout."""

    action: Literal["pause", "resume", "abort", "rollback"]


def group_routes(api: Api) -> APIBlueprint:
    """Groups and rollouts."""
    routes = APIBlueprint("groups", __name__, abp_tags=[DEVICES])

    @routes.put(
        "/v1/device-groups/<group>",
        responses={HTTPStatus.OK: GroupResponse, HTTPStatus.CREATED: GroupResponse},
    )
    @requires("editor")
    def put_group(path: GroupPath, body: GroupRequest) -> Response:
        """Say what all devices of a group should have, at once; a rollout under way is aborted."""
        api.devices.require_model(body.model, body.version)
        document, is_new = api.groups.wish(path.group, body.model_dump(mode="json"), expect)
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        return answer(_told(document), status, ETag=quoted(document.etag))

    @routes.get("/v1/device-groups", responses={HTTPStatus.OK: GroupList})
    @requires("viewer")
    def list_groups(query: PageQuery) -> Response:
        """Groups, oldest first."""
        chosen, token = page(api.groups.list(), query.page_size, query.page_token, lambda one: one.id)
        return answer(GroupList(items=[_told(document) for document in chosen], next_page_token=token))

    @routes.get("/v1/device-groups/<group>", responses={HTTPStatus.OK: GroupResponse})
    @requires("viewer")
    def get_group(path: GroupPath) -> Response:
        """A group with its newest rollout, brought up to date."""
        document = api.devices.reconcile(api.groups.get(path.group))
        return answer_document(_told(document), document)

    @routes.post("/v1/device-groups/<string:group>:rollout", responses={HTTPStatus.CREATED: GroupResponse})
    @requires("editor")
    def begin_rollout(path: GroupPath, body: RolloutRequest) -> Response:
        """Move the group to a version, stage by stage; failures above the threshold pause it."""
        group = api.groups.get(path.group)
        api.devices.require_model(group.body["model"], body.version)
        members = sorted(api.devices.reports_of(path.group))
        document = api.groups.roll_out(group, body.model_dump(mode="json"), members)
        return answer(_told(document), HTTPStatus.CREATED)

    @routes.post(
        "/v1/device-groups/<string:group>/rollout:<action>", responses={HTTPStatus.OK: GroupResponse}
    )
    @requires("editor")
    def act_on_rollout(path: ActionPath) -> Response:
        """Pause, resume, abort (devices go back to the group's wish) or roll back (also after success)."""
        return answer(_told(api.groups.act(api.groups.get(path.group), path.action)))

    return routes


def enrolment_routes(api: Api) -> APIBlueprint:
    """One-time codes."""
    routes = APIBlueprint("enrolment", __name__, abp_tags=[DEVICES])

    @routes.post("/v1/devices/<string:device>:code", responses={HTTPStatus.CREATED: EnrolmentCode})
    @requires("editor")
    def make_code(path: DevicePath) -> Response:
        """A code for one enrolment within a day; a code made before ends."""
        code, expires_at = api.enrolment.make_code(api.devices.get(path.device))
        made = EnrolmentCode(code=code, expires_at=expires_at)
        return answer(made, HTTPStatus.CREATED, Cache_Control="no-store")

    @routes.post("/v1/devices/<string:device>:enrol", responses={HTTPStatus.CREATED: EnrolledResponse})
    @public
    def enrol(path: DevicePath, body: EnrolRequest) -> Response:
        """The device's token for a code, once; no token is needed to ask."""
        token = api.enrolment.enrol(api.devices.find(path.device), body.code)
        return answer(EnrolledResponse(token=token), HTTPStatus.CREATED, Cache_Control="no-store")

    return routes


def _told(document: Document) -> GroupResponse:
    return GroupResponse.model_validate(document.body)
