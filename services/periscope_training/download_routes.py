"""An epoch as the zip that publishing would make of it, for whoever has no use for the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.ids import new_id
from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope_training.curves import epoch_text
from periscope_training.epoch_files import EpochFiles
from periscope_training.publication_routes import PUBLICATIONS, EpochPath
from periscope_training.publish import Builder
from periscope_training.routes import require_job

CHUNK_BYTES = 1 << 20


def download_routes(files: EpochFiles, builder: Builder) -> APIBlueprint:
    """One epoch's zip."""
    routes = APIBlueprint("downloads", __name__, abp_tags=[PUBLICATIONS])

    @routes.get("/v1/jobs/<job_id>/epochs/<string:epoch>.zip")
    @requires("viewer")
    @gives("application/zip")
    def download_epoch(path: EpochPath) -> Response:
        """The model zip of an epoch, proved and whole; nothing is published."""
        epoch = files.find(require_job(path.job_id), path.epoch)
        download = new_id()
        built = builder.build(download, {"job_id": epoch.job_id, **epoch.entry})
        response = Response(_read(built.path), mimetype="application/zip")
        response.content_length = built.size_bytes
        response.set_etag(built.sha256)
        name = f"{epoch.job_id}_epoch_{epoch_text(epoch.entry['epoch'])}.zip"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.call_on_close(lambda: builder.discard(download))
        return response

    return routes


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
