"""URLs that take things away: versions by way of the trash, aliases, groups, devices."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.clock import to_rfc3339
from periscope.web.auth import requires
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.models import VersionResponse
from periscope.wire.retention import (
    CleanUpRequest,
    CleanUpResponse,
    RetentionRequest,
    RetentionResponse,
    TrashedVersion,
    TrashList,
    VersionFate,
)
from periscope_registry.answers import answer
from periscope_registry.device_routes import DEVICES, DevicePath
from periscope_registry.group_routes import GroupPath
from periscope_registry.removing import Remover
from periscope_registry.retention import DELETE, KEEP, RESTORE, TRASH, Fate, Retention
from periscope_registry.routes import MODELS, AliasPath, Api, ModelPath, VersionPath


def version_removal_routes(api: Api, remover: Remover) -> APIBlueprint:
    """Into the trash, out of it, and what goes by itself."""
    routes = APIBlueprint("version-removals", __name__, abp_tags=[MODELS])

    @routes.delete("/v1/models/<name>/versions/<int:number>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_version(path: VersionPath) -> Response:
        """Put a version into the trash; refused with what uses it. Its number is not given again."""
        remover.remove_version(api.catalogue.get(path.name), path.number)
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.get("/v1/models/<name>/trash", responses={HTTPStatus.OK: TrashList})
    @requires("viewer")
    def list_trash(path: ModelPath, query: PageQuery) -> Response:
        """Versions that can still be restored, by number."""
        model = api.catalogue.get(path.name)
        trashed = sorted(remover.trash(model).items())
        chosen, token = page(trashed, query.page_size, query.page_token, lambda one: f"{one[0]:08d}")
        items = []
        for number, at in chosen:
            told = api.catalogue.version_in_use(model, number)
            items.append(TrashedVersion(**{**told, "removed_at": to_rfc3339(at)}))
        return answer(TrashList(items=items, next_page_token=token))

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post(
        "/v1/models/<name>/versions/<int:number>:restore", responses={HTTPStatus.OK: VersionResponse}
    )
    @requires("editor")
    def restore_version(path: VersionPath) -> Response:
        """Take a version out of the trash."""
        return answer(VersionResponse(**remover.restore_version(api.catalogue.get(path.name), path.number)))

    @routes.put("/v1/models/<name>/retention", responses={HTTPStatus.OK: RetentionResponse})
    @requires("editor")
    def put_retention(path: ModelPath, body: RetentionRequest) -> Response:
        """Say which versions a clean-up leaves alone; those in use it leaves alone anyway."""
        api.catalogue.change(api.catalogue.get(path.name), retention=body.model_dump())
        return answer(RetentionResponse(**body.model_dump()))

    @routes.get("/v1/models/<name>/retention", responses={HTTPStatus.OK: RetentionResponse})
    @requires("viewer")
    def get_retention(path: ModelPath) -> Response:
        """The model's retention; without one all versions are kept."""
        return answer(RetentionResponse(**asdict(Retention.of(api.catalogue.get(path.name).body))))

    @routes.post("/v1/models:clean-up", responses={HTTPStatus.OK: CleanUpResponse})
    @requires("admin")
    def clean_up(body: CleanUpRequest) -> Response:
        """Apply every model's retention, empty the trash of what is in it for long; or tell what would go."""
        fates = remover.clean_up(timedelta(hours=body.grace_hours), dry_run=body.dry_run)
        return answer(_cleaned(fates, body.dry_run))

    return routes


def removal_routes(api: Api, remover: Remover) -> APIBlueprint:
    """Aliases, groups, devices: gone at once, unless something follows them."""
    routes = APIBlueprint("removals", __name__)

    @routes.delete(
        "/v1/models/<name>/aliases/<alias>", responses={HTTPStatus.NO_CONTENT: None}, tags=[MODELS]
    )
    @requires("editor")
    def delete_alias(path: AliasPath) -> Response:
        """Take an alias away; refused with the list of devices and groups that follow it."""
        model = api.catalogue.get(path.name)
        remover.remove_alias(model, api.aliases.get(model, path.alias))
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.delete("/v1/device-groups/<group>", responses={HTTPStatus.NO_CONTENT: None}, tags=[DEVICES])
    @requires("editor")
    def delete_group(path: GroupPath) -> Response:
        """Forget a group; refused with the list of its devices."""
        remover.remove_group(api.groups.get(path.group))
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.delete("/v1/devices/<device>", responses={HTTPStatus.NO_CONTENT: None}, tags=[DEVICES])
    @requires("editor")
    def delete_device(path: DevicePath) -> Response:
        """Forget a device, with its reports and tokens; the model that it has it keeps."""
        remover.remove_device(api.devices.get(path.device))
        return Response(status=HTTPStatus.NO_CONTENT)

    return routes


def _cleaned(fates: list[Fate], dry_run: bool) -> CleanUpResponse:
    counts = Counter(fate.action for fate in fates)
    return CleanUpResponse(
        dry_run=dry_run,
        kept=counts[KEEP],
        trashed=counts[TRASH],
        restored=counts[RESTORE],
        deleted=counts[DELETE],
        versions=[VersionFate.model_validate(asdict(fate)) for fate in fates],
    )
