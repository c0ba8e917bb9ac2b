"""What the generated OpenAPI document would leave out: who may call a route, and how it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request
from flask_openapi3 import APIBlueprint, OpenAPI

from periscope.web.auth import access_of
from periscope.web.problems import MEDIA_TYPE

SECURITY_SCHEME = "bearer"
PROBLEM_SCHEMA = "#/components/schemas/ProblemDetails"
DOCS_POLICY = "default-src 'self' 'unsafe-inline' data:"

View = TypeVar("View", bound=Callable[..., Any])

_GIVES = "periscope_gives"
_CONVERTED = re.compile(r"<(?:[^<>:]+:)?([^<>]+)>")


def gives(*media_types: str) -> Callable[[View], View]:
    """Mark a view whose answer, where all went well, may also have these media types."""

    def mark(view: View) -> View:
        setattr(view, _GIVES, media_types)
        return view

    return mark


class ServiceAPI(OpenAPI):
    """flask-openapi3's application, whose document tells the roles and the problem documents."""

    def register_api(self, api: APIBlueprint, **options: Any) -> None:
        """Register a blueprint; methods of one path may stand in several, which the library would lose."""
        for path, item in self.paths.items():
            if path in api.paths:
                also = api.paths[path].model_dump(exclude_none=True, exclude_unset=True)
                api.paths[path] = item.model_copy(
                    update={method: getattr(api.paths[path], method) for method in also}
                )
        super().register_api(api, **options)

    def generate_spec_json(self) -> None:
        """Generate the document, then add to it."""
        super().generate_spec_json()  # type: ignore[no-untyped-call] # the library's own gap
        roles = self._roles_by_path()
        for path, item in self.spec_json["paths"].items():
            for method, operation in item.items():
                access, media_types = roles.get((path, method.upper()), ("public", ()))
                _describe(operation, access)
                for media_type in media_types:
                    _add_media_type(operation, media_type)

    def _roles_by_path(self) -> dict[tuple[str, str], tuple[Any, tuple[str, ...]]]:
        return {
            (_CONVERTED.sub(r"{\1}", rule.rule), method): (
                access_of(self, rule.endpoint),
                getattr(self.view_functions[rule.endpoint], _GIVES, ()),
            )
            for rule in self.url_map.iter_rules()
            for method in rule.methods or ()
        }


def install_docs(app: OpenAPI) -> None:
    """Keep the docs page from asking any other server for anything."""
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}

    @app.after_request
    def close(response: Response) -> Response:
        if request.path.startswith("/docs"):
            response.headers["Content-Security-Policy"] = DOCS_POLICY
        return response


def _describe(operation: dict[str, Any], access: Any) -> None:
    responses = operation["responses"]
    responses["422"] = _problem("The content is wrong: `errors` points at each field")
    responses["default"] = _problem("Every other failure")
    if access == "public":
        return
    roles = access if isinstance(access, tuple) else (access,)
    operation["security"] = [{SECURITY_SCHEME: []}]
    responses["401"] = _problem("No token, or one that is not known")
    responses["403"] = _problem(f"The token has not the role {' or '.join(str(role) for role in roles)}")


def _add_media_type(operation: dict[str, Any], media_type: str) -> None:
    done = operation["responses"].setdefault("200", {"description": "OK"})
    schema = {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
    done.setdefault("content", {})[media_type] = {"schema": schema}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_SCHEMA}}}}
