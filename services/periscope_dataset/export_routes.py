"""URLs that send whole versions in the folders of other tools."""

from __future__ import annotations

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field

from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope_dataset.exporting import Exporter, Format
from periscope_dataset.routes import DATASETS, VersionPath
from periscope_dataset.rules import Catalogue


class ExportQuery(BaseModel):
    """In which form."""

    format: Format = Field("kitti", description="Whose folders and labels")


def export_routes(catalogue: Catalogue, exporter: Exporter) -> APIBlueprint:
    """Exports."""
    routes = APIBlueprint("exports", __name__, abp_tags=[DATASETS])

    @routes.get("/v1/datasets/<dataset_id>/versions/<version>/export")
    @requires("viewer")
    @gives("application/zip")
    def export_version(path: VersionPath, query: ExportQuery) -> Response:
        """The version as a zip: pictures byte for byte as they came, labels as the format has them.

        It is made while it is sent, so its length is not known before.
        """
        dataset = catalogue.get(path.dataset_id)
        manifest = catalogue.manifest(path.dataset_id, path.version)
        chunks, close = exporter.begin(manifest, query.format)
        response = Response(chunks, mimetype="application/zip")
        name = f"{dataset.body['name']}-v{manifest['version']}-{query.format}.zip"
        response.headers.set("Content-Disposition", "attachment", filename=name)
        response.call_on_close(close)
        return response

    return routes
