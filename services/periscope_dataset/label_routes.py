"""URLs of label files, for programs that train or evaluate on single pictures."""

from __future__ import annotations

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope_dataset.routes import DATASETS, Api, ImagePath


def label_routes(api: Api) -> APIBlueprint:
    """Labels as text."""
    routes = APIBlueprint("labels", __name__, abp_tags=[DATASETS])

    @routes.get("/v1/datasets/<dataset_id>/versions/<version>/images/<split>/<key>/label")
    @requires("viewer")
    @gives("text/plain")
    def get_label(path: ImagePath) -> Response:
        """One picture's KITTI label file, as it is trained on."""
        manifest = api.catalogue.manifest(path.dataset_id, path.version)
        entry = api.gallery.entry(manifest, path.split, path.key)
        text = api.gallery.label(manifest, path.split, entry)
        return Response(text, content_type="text/plain; charset=utf-8")

    return routes
