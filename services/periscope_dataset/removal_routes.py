"""URLs that take things away: versions, data sets, and blobs that nothing names any more."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from periscope.web.auth import requires
from periscope.web.problems import ConflictProblem
from periscope.wire.garbage import GarbageRequest, GarbageResponse
from periscope_dataset.garbage import Collector
from periscope_dataset.removing import InUse, Remover
from periscope_dataset.routes import DATASETS, DatasetPath, answer

HOUR_S = 3600.0


class NumberedVersionPath(DatasetPath):
    """Names a version by its number alone: the latest is another one tomorrow."""

    version: int = Field(ge=1, le=99_999_999)


def removal_routes(remover: Remover, collector: Collector, default_grace_h: int) -> APIBlueprint:
    """Removals."""
    routes = APIBlueprint("removals", __name__, abp_tags=[DATASETS])

    @routes.delete("/v1/datasets/<dataset_id>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_dataset(path: DatasetPath) -> Response:
        """Take a data set with all its versions away; refused with the list of jobs that use one."""
        try:
            remover.remove_dataset(path.dataset_id)
        except InUse as error:
            raise ConflictProblem(str(error), users=error.users) from error
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.delete("/v1/datasets/<dataset_id>/versions/<version>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_version(path: NumberedVersionPath) -> Response:
        """Take a version away; refused with the list of jobs that use it. Its number is not given again."""
        try:
            remover.remove_version(path.dataset_id, path.version)
        except InUse as error:
            raise ConflictProblem(str(error), users=error.users) from error
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.post("/v1/datasets:collect-garbage", responses={HTTPStatus.OK: GarbageResponse})
    @requires("admin")
    def collect_garbage(body: GarbageRequest) -> Response:
        """Remove blobs that nothing of any service has named for the grace period, or tell which."""
        hours = default_grace_h if body.grace_hours is None else body.grace_hours
        found = collector.collect(hours * HOUR_S, dry_run=body.dry_run)
        return answer(GarbageResponse.model_validate(asdict(found)))

    return routes
