"""URLs that make a version from another without an upload."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.web.auth import requires
from periscope.web.idempotency import idempotent
from periscope.wire.datasets import IngestResponse, RemoveImagesRequest
from periscope_dataset.routes import DATASETS, Api, VersionPath, answer, ingest_answer


def editing_routes(api: Api) -> APIBlueprint:
    """Removals of pictures."""
    routes = APIBlueprint("editing", __name__, abp_tags=[DATASETS])

    @routes.post(
        "/v1/datasets/<dataset_id>/versions/<string:version>:remove-images",
        responses={HTTPStatus.ACCEPTED: IngestResponse},
    )
    @requires("editor")
    @idempotent
    def remove_images(path: VersionPath, body: RemoveImagesRequest) -> Response:
        """Make a version without some pictures; the version itself stays as it is."""
        api.catalogue.get(path.dataset_id)
        manifest = api.catalogue.manifest(path.dataset_id, path.version)
        removed = sorted({(image.split, image.key) for image in body.images})
        for split, key in removed:
            api.gallery.entry(manifest, split, key)
        making = {
            "description": body.description,
            "labels": body.labels,
            "base": {"version": manifest["version"], "mode": "remove", "removed": removed},
        }
        ingest = api.catalogue.begin_removal(path.dataset_id, manifest["options"], making)
        api.wake()
        location = f"/v1/datasets/{path.dataset_id}/ingests/{ingest.id}"
        return answer(ingest_answer(ingest), HTTPStatus.ACCEPTED, location)

    return routes
