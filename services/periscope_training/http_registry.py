"""The registry over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from periscope.client import FINALIZE_TIMEOUT_S, ServiceClient, ServiceError, ServiceProblem
from periscope_training.registry import RegistryRefused, RegistryUnavailable, UploadGone

T = TypeVar("T")

PAGE_SIZE = 200
MAX_PAGES = 500
ALIAS_TRIES = 8

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_MAY_PASS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)


class HttpRegistry:
    """See :class:`periscope_training.registry.Registry`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def ensure_model(self, model: str) -> None:
        """Make the model when it is not there."""
        _asking(lambda: self._client.put(f"/v1/models/{model}", json={}))

    def find_version(self, model: str, sha256: str) -> int | None:
        """Look through all versions; the lowest number with this zip counts."""
        numbers = [item["version"] for item in self._versions(model) if item["zip"]["sha256"] == sha256]
        return min(numbers, default=None)

    def upload(self, model: str, path: Path) -> str:
        """Upload the zip part by part, straight into the store."""
        uploads = f"/v1/models/{model}/uploads"
        upload = _asking(lambda: self._client.upload_file(uploads, path))
        return str(upload["upload_id"])

    def finalize(self, model: str, upload_id: str, metadata: Mapping[str, Any]) -> int:
        """Have the registry check the zip and claim a version for it."""
        path = f"/v1/models/{model}/uploads/{upload_id}:finalize"
        try:
            answer = _asking(
                lambda: self._client.post(path, json=dict(metadata), timeout_s=FINALIZE_TIMEOUT_S)
            )
        except RegistryRefused as error:
            if error.status in _GONE:
                raise UploadGone(str(error)) from error
            raise
        return int(answer["version"])

    def fetch_zip(self, model: str, version: int, destination: Path) -> None:
        """Download a version's zip and compare its SHA-256."""
        path = f"/v1/models/{quote(model, safe='')}/versions/{version}"
        sha256 = _asking(lambda: self._client.get(path))["zip"]["sha256"]
        _asking(lambda: self._client.download(f"{path}/zip", destination, sha256))

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Compare and set until no other writer comes between."""
        path = f"/v1/models/{model}/aliases/{alias}"
        for _ in range(ALIAS_TRIES):
            condition = self._alias_condition(path, version)
            if condition is None:
                return
            try:
                self._put_alias(path, version, condition)
            except ServiceProblem as error:
                if error.status != HTTPStatus.PRECONDITION_FAILED:
                    raise _refusal(error) from error
                continue
            return
        raise RegistryUnavailable(f"the alias {alias} of {model} kept changing")

    def _put_alias(self, path: str, version: int, condition: Mapping[str, str]) -> None:
        try:
            self._client.put(path, json={"version": version}, headers=condition)
        except ServiceProblem:
            raise
        except ServiceError as error:
            raise RegistryUnavailable(str(error)) from error

    def _alias_condition(self, path: str, version: int) -> dict[str, str] | None:
        """The header that makes the change conditional, or None where nothing is to be changed."""
        try:
            answer = _asking(lambda: self._client.call("GET", path))
        except RegistryRefused as error:
            if error.status in _GONE:
                return {"If-None-Match": "*"}
            raise
        return None if answer.json()["version"] == version else {"If-Match": answer.headers["ETag"]}

    def _versions(self, model: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        for _ in range(MAX_PAGES):
            page = self._page_of_versions(model, token)
            yield from page["items"]
            token = page.get("next_page_token")
            if token is None:
                return

    def _page_of_versions(self, model: str, token: str | None) -> dict[str, Any]:
        params = {"page_size": str(PAGE_SIZE), **({"page_token": token} if token else {})}
        page: dict[str, Any] = _asking(
            lambda: self._client.get(f"/v1/models/{model}/versions", params=params)
        )
        return page


def _asking(ask: Callable[[], T]) -> T:
    """Ask, and tell failures apart by what can be done about them."""
    try:
        return ask()
    except ServiceProblem as error:
        raise _refusal(error) from error
    except ServiceError as error:
        raise RegistryUnavailable(str(error)) from error


def _refusal(error: ServiceProblem) -> RegistryRefused | RegistryUnavailable:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status in _MAY_PASS:
        return RegistryUnavailable(f"status {error.status}: {error}")
    return RegistryRefused(str(error), error.status)
