"""Calling the services over HTTP: what the command line, the services and the tests use.

Failures, cut by what the caller can do::

    ServiceError
    ├── ServiceProblem        the service said no; ``document`` holds its problem document
    ├── ServiceUnreachable    no usable answer after several tries
    └── DownloadCorrupt       the bytes are not those that were promised
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from periscope.sending import PartOfFile, Sending

TRIES = 5
BACKOFF_S = 0.3
PART_TIMEOUT_S = 300
FINALIZE_TIMEOUT_S = 300.0
"""The registry reads and checks the whole zip before it answers."""
CHUNK_BYTES = 1 << 20
MAX_REDIRECTS = 3
_RETRY_STATUS = (502, 503, 504)
_IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all."""


class ServiceError(Exception):
    """Base of every failure of a call."""


class ServiceProblem(ServiceError):
    """The service refused; ``str()`` is its reason."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or f"status {status}"))
        self.status = status
        self.document = dict(document)


class ServiceUnreachable(ServiceError):
    """The service gave no usable answer."""


class DownloadCorrupt(ServiceError):
    """The downloaded bytes do not have the promised SHA-256."""


class ServiceClient:
    """One service at ``base_url``, called with a bearer token."""

    def __init__(self, base_url: str, token: str | None = None, timeout_s: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **kwargs: Any) -> Any:
        """GET a JSON answer. Raises ServiceError."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Any:
        """POST JSON; tried once unless ``headers`` carry an ``Idempotency-Key``. Raises ServiceError."""
        return self.request("POST", path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> Any:
        """PUT JSON. Raises ServiceError."""
        return self.request("PUT", path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> Any:
        """PATCH with JSON. Raises ServiceError."""
        return self.request("PATCH", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Any:
        """DELETE. Raises ServiceError."""
        return self.request("DELETE", path, **kwargs)

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call and return the JSON answer, or the text where the answer is no JSON, or None where empty."""
        answer = self.call(method, path, **kwargs)
        if not answer.content:
            return None
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.text

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = False,
        stream: bool = False,
        timeout_s: float | None = None,
    ) -> requests.Response:
        """Call and return the answer itself; safe calls are tried again when the service is away.

        Raises:
            ServiceProblem: a 4xx or 5xx answer.
            ServiceUnreachable: no answer, or 503 to the last.
        """
        sent = {**self._headers, **(headers or {})}
        may_repeat = method in _IDEMPOTENT or "Idempotency-Key" in sent

        def once() -> requests.Response:
            return self._session.request(
                method,
                self._url(path),
                json=json,
                data=data,
                params=params,
                headers=sent,
                timeout=timeout_s or self._timeout_s,
                allow_redirects=allow_redirects,
                stream=stream,
            )

        answer = _with_tries(once, self._url(path), TRIES if may_repeat else 1)
        if answer.status_code >= requests.codes.bad_request:
            raise ServiceProblem(answer.status_code, _problem_of(answer))
        return answer

    def upload_file(
        self,
        create_path: str,
        path: Path,
        on_progress: Progress | None = None,
        *,
        begun: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Ask for an upload at ``create_path`` and put the file's parts where it says; return the upload.

        With ``begun``, an upload as the service tells it, only what that lacks is sent.

        Raises:
            ServiceError: as for any call; a part is tried several times.
        """
        sending = Sending(path, path.stat().st_size, on_progress)
        upload = begun or self.post(
            create_path,
            json={"filename": path.name, "size_bytes": sending.size_bytes, "sha256": sha256_of(path)},
            headers={"Idempotency-Key": secrets.token_hex(16)},
        )
        sending.send(sending.missing(upload["parts"], upload.get("received", [])), _put_part)
        return dict(upload)

    def download(
        self, path: str, destination: Path, sha256: str | None = None, on_progress: Progress | None = None
    ) -> None:
        """Fetch a file of any size; it appears only when whole.

        With ``sha256``, an earlier call's beginning is gone on with; without, nothing could tell whether
        it belongs to the same file. A redirect is followed without the token: the other server must not
        see it.

        Raises:
            DownloadCorrupt: the SHA-256 differs.
            ServiceError: as for any call.
        """
        part = destination.with_name(destination.name + ".part")
        if sha256 is None:
            part.unlink(missing_ok=True)
        had_beginning = part.exists()
        self._download_part(path, part, on_progress)
        if had_beginning and sha256_of(part) != sha256:
            # The beginning may be of another file: once more, from the first byte.
            part.unlink()
            self._download_part(path, part, on_progress)
        if sha256 is not None and sha256_of(part) != sha256:
            part.unlink()
            raise DownloadCorrupt(f"{destination.name} does not have the SHA-256 {sha256}")
        part.replace(destination)

    def _download_part(self, path: str, part: Path, on_progress: Progress | None) -> None:
        for attempt in range(TRIES):
            try:
                self._download_rest(path, part, on_progress)
            except (requests.RequestException, ServiceUnreachable) as error:
                if attempt == TRIES - 1:
                    raise ServiceUnreachable(f"{self._url(path)}: {error}") from error
                time.sleep(BACKOFF_S * 2**attempt)
            else:
                return

    def _download_rest(self, path: str, part: Path, on_progress: Progress | None) -> None:
        start = part.stat().st_size if part.exists() else 0
        answer = self._open(path, {"Range": f"bytes={start}-"} if start else {})
        with answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                return  # Nothing was left; the hash will tell whether it is right.
            if answer.status_code in _RETRY_STATUS:
                raise ServiceUnreachable(f"status {answer.status_code}")
            if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
                raise ServiceProblem(answer.status_code, _problem_of(answer))
            resumed = answer.status_code == requests.codes.partial_content
            done = start if resumed else 0
            # An answer that is made while it is sent does not know its length, and ends by its own rules.
            is_known = "Content-Length" in answer.headers
            total = done + int(answer.headers["Content-Length"]) if is_known else 0
            # Else the bytes before a break would be thrown away; the length is checked below.
            answer.raw.enforce_content_length = False
            with part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    if on_progress is not None:
                        on_progress(done, total)
        if done < total:
            raise ServiceUnreachable(f"the connection ended after {done} of {total} bytes")

    def _open(self, path: str, headers: Mapping[str, str]) -> requests.Response:
        # A compressed answer could not be gone on with.
        headers = {"Accept-Encoding": "identity", **headers}
        url, sent = self._url(path), {**self._headers, **headers}
        for _ in range(MAX_REDIRECTS):
            answer = self._session.get(
                url, headers=sent, timeout=self._timeout_s, stream=True, allow_redirects=False
            )
            if not answer.is_redirect:
                return answer
            url, sent = urljoin(url, answer.headers["Location"]), dict(headers)
            answer.close()
        raise ServiceUnreachable(f"{self._url(path)} redirects without end")

    def _url(self, path: str) -> str:
        return f"{self.base_url}/{path.lstrip('/')}"


def _with_tries(once: Callable[[], requests.Response], url: str, tries: int) -> requests.Response:
    last = "no answer"
    for attempt in range(tries):
        if attempt:
            time.sleep(BACKOFF_S * 2**attempt)
        try:
            answer = once()
        except requests.RequestException as error:
            last = str(error)
            continue
        if answer.status_code not in _RETRY_STATUS:
            return answer
        last = f"status {answer.status_code}: {_problem_of(answer).get('detail', '')}"
    raise ServiceUnreachable(f"{url} cannot be reached ({last})")


def _put_part(url: str, body: PartOfFile) -> None:
    def once() -> requests.Response:
        body.seek(0)
        # No token here: the URL itself is the permission.
        return requests.put(url, data=body, timeout=PART_TIMEOUT_S)

    answer = _with_tries(once, url.split("?")[0], TRIES)
    if answer.status_code >= requests.codes.bad_request:
        raise ServiceProblem(answer.status_code, {"detail": f"the store refused a part: {answer.text[:300]}"})


def _problem_of(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except (json.JSONDecodeError, requests.RequestException):
        return {"detail": answer.text[:300]}
    return document if isinstance(document, dict) else {"detail": str(document)[:300]}


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
