"""URLs of publications: the way of a job's epoch into the registry."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from periscope.ids import is_id
from periscope.web.auth import requires
from periscope.web.pages import page
from periscope.web.problems import NotFound
from periscope.wire.base import PageQuery
from periscope.wire.publications import PublicationList, PublicationResponse, PublishRequest
from periscope_training import answers
from periscope_training.publication import KIND, is_final
from periscope_training.routes import Api, JobPath, WaitQuery, accepted, answer, idempotency_key, require_job

PUBLICATIONS = Tag(name="publications", description="Epochs on their way into the registry")


class EpochPath(JobPath):
    """Names an epoch of a job."""

    epoch: str = Field(max_length=20, description="best, latest or the epoch's number")


class PublicationPath(BaseModel):
    """Names a publication."""

    publication_id: str


class PublicationsQuery(PageQuery):
    """Which publications to list."""

    job_id: str | None = Field(None, max_length=26)


def publication_routes(api: Api) -> APIBlueprint:
    """Publish, list, look."""
    routes = APIBlueprint("publications", __name__, abp_tags=[PUBLICATIONS])

    @routes.post(
        "/v1/jobs/<job_id>/epochs/<string:epoch>:publish",
        responses={HTTPStatus.ACCEPTED: PublicationResponse},
    )
    @requires("editor")
    def publish_epoch(path: EpochPath, body: PublishRequest) -> Response:
        """Prove, zip and register an epoch; the same bytes never become two versions."""
        document = api.submissions.submit_publication(
            require_job(path.job_id), path.epoch, body, idempotency_key()
        )
        api.wake()
        return accepted(answers.publication_response(document), f"/v1/publications/{document.id}")

    @routes.get("/v1/publications", responses={HTTPStatus.OK: PublicationList})
    @requires("viewer")
    def list_publications(query: PublicationsQuery) -> Response:
        """Publications, oldest first."""
        found = [
            document
            for document in api.documents.list(KIND)
            if query.job_id in (None, document.body["job_id"])
        ]
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [answers.publication_response(document) for document in chosen]
        return answer(PublicationList(items=items, next_page_token=token))

    @routes.get("/v1/publications/<publication_id>", responses={HTTPStatus.OK: PublicationResponse})
    @requires("viewer")
    def get_publication(path: PublicationPath, query: WaitQuery) -> Response:
        """How a publication stands; with ``wait`` the answer comes when it has ended, or after the wait."""
        if not is_id(path.publication_id):
            raise NotFound(f"There is no publication {path.publication_id!r}.")
        document = api.polls.wait(
            lambda: api.documents.get(KIND, path.publication_id),
            lambda seen: is_final(seen.body),
            query.seconds,
        )
        return answer(answers.publication_response(document))

    return routes
