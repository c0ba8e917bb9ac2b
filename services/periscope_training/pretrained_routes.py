"""URLs of pretrained models: from an epoch, from a file, list, remove."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from flask_openapi3.models import RawModel
from pydantic import BaseModel

from periscope.documents import Document, Documents
from periscope.web.auth import requires
from periscope.web.bodies import accepts
from periscope.web.pages import page
from periscope.web.problems import BadRequest
from periscope.wire.base import PageQuery
from periscope.wire.pretrained import PretrainedList, PretrainedQuery, PretrainedRequest, PretrainedResponse
from periscope_training.epoch_files import EpochFiles
from periscope_training.pretrained import KIND
from periscope_training.pretrained_models import PretrainedModels, find_pretrained
from periscope_training.routes import answer, require_job

PRETRAINED = Tag(name="pretrained models", description="Weights for jobs to begin with")
MAX_WEIGHTS_BYTES = 256 << 20


class Weights(RawModel):
    """A .caffemodel, or a file of torchvision's GoogLeNet."""

    mimetypes = ["application/octet-stream"]


class PretrainedPath(BaseModel):
    """Names a pretrained model by name or id."""

    name: str


def pretrained_routes(documents: Documents, models: PretrainedModels, files: EpochFiles) -> APIBlueprint:
    """Make, list, look, remove."""
    routes = APIBlueprint("pretrained", __name__, abp_tags=[PRETRAINED])

    @routes.post("/v1/pretrained-models", responses={HTTPStatus.CREATED: PretrainedResponse})
    @requires("editor")
    def create_pretrained(body: PretrainedRequest) -> Response:
        """Keep weights of an epoch or a registered model under a name ("Make Pretrained Model")."""
        if (body.job_id is None) == (body.model is None) or (body.model is None) != (body.version is None):
            raise BadRequest("name either job_id (and epoch), or model and version")
        if body.model is not None and body.version is not None:
            return _created(models.from_registered(body.name, body.model, body.version))
        epoch = files.find(require_job(body.job_id or ""), body.epoch)
        return _created(models.from_epoch(body.name, epoch))

    @routes.post("/v1/pretrained-models:upload", responses={HTTPStatus.CREATED: PretrainedResponse})
    @requires("editor")
    @accepts("application/octet-stream", max_bytes=MAX_WEIGHTS_BYTES)
    def upload_pretrained(query: PretrainedQuery, raw: Weights) -> Response:
        """Send a .caffemodel, or torchvision's GoogLeNet file, as the body."""
        content = raw.get_data(cache=False)
        if not content:
            raise BadRequest("send the file as the body")
        return _created(models.add(query.name, content, {"upload": True}))

    @routes.get("/v1/pretrained-models", responses={HTTPStatus.OK: PretrainedList})
    @requires("viewer")
    def list_pretrained(query: PageQuery) -> Response:
        """Pretrained models, oldest first."""
        found = documents.list(KIND)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        return answer(PretrainedList(items=[_described(item) for item in chosen], next_page_token=token))

    @routes.get("/v1/pretrained-models/<name>", responses={HTTPStatus.OK: PretrainedResponse})
    @requires("viewer")
    def get_pretrained(path: PretrainedPath) -> Response:
        """One pretrained model."""
        return answer(_described(find_pretrained(documents, path.name)))

    @routes.delete("/v1/pretrained-models/<name>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_pretrained(path: PretrainedPath) -> Response:
        """Take the name away. Jobs that began with it, or wait to, keep the weights."""
        document = find_pretrained(documents, path.name)
        documents.delete(KIND, document.id)
        return Response(status=HTTPStatus.NO_CONTENT)

    return routes


def _created(document: Document) -> Response:
    response = answer(_described(document), HTTPStatus.CREATED)
    response.headers["Location"] = f"/v1/pretrained-models/{document.body['name']}"
    return response


def _described(document: Document) -> PretrainedResponse:
    return PretrainedResponse.model_validate({"id": document.id, **document.body})
