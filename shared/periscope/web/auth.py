"""Who may call what: each route names the role it asks for, and one that names none is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from flask import Flask, g, request

from periscope.roles import Role
from periscope.tokens import Principal
from periscope.web.problems import Forbidden, Unauthorized

View = TypeVar("View", bound=Callable[..., Any])
Access = Role | tuple[Role, ...] | Literal["public"]

_ATTRIBUTE = "periscope_access"
_STRENGTH: dict[Role, int] = {"viewer": 1, "editor": 2, "admin": 3}


def requires(role: Role, *others: Role) -> Callable[[View], View]:
    """Mark a view: callers need one of these roles or a stronger one. Devices and admins meet ``device``."""
    return _mark((role, *others) if others else role)


def public(view: View) -> View:
    """Mark a view as open to everybody, or as doing its own authentication."""
    return _mark("public")(view)


def current_principal() -> Principal:
    """Who makes the request at hand; only in views that ask for a role."""
    principal: Principal = g.principal
    return principal


def install_authentication(app: Flask, authenticator: Callable[[str], Principal | None]) -> None:
    """Check every request before anything else looks at it."""

    @app.before_request
    def authenticate() -> None:
        if request.endpoint is None:
            return
        access = access_of(app, request.endpoint)
        if access == "public":
            return
        principal = authenticator(_bearer_token())
        if principal is None:
            raise Unauthorized("this token is not known, or was revoked; ask an admin for a new one")
        if access is None:
            raise Forbidden("this route names no role, so nobody may use it")
        roles = access if isinstance(access, tuple) else (access,)
        if not any(allows(role, principal.role) for role in roles):
            needed = " or ".join(str(role) for role in roles)
            raise Forbidden(f"this needs the role {needed}; the token has the role {principal.role}")
        g.principal = principal


def allows(needed: Role, given: Role) -> bool:
    """Whether a role meets what a route asks for."""
    if needed == "device" or given == "device":
        return given in ("admin", needed)
    return _STRENGTH[given] >= _STRENGTH[needed]


def access_of(app: Flask, endpoint: str) -> Any:
    """What a route asks for, or None where it does not say."""
    if endpoint == "static" or endpoint.startswith(("openapi", "swagger")):
        return "public"
    return getattr(app.view_functions[endpoint], _ATTRIBUTE, None)


def unprotected_routes(app: Flask) -> list[str]:
    """Routes that name no role: an empty list in a sound service."""
    return sorted(rule.rule for rule in app.url_map.iter_rules() if access_of(app, rule.endpoint) is None)


def _mark(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _ATTRIBUTE, access)
        return view

    return mark


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("send the header `Authorization: Bearer <token>`")
    return token.strip()
