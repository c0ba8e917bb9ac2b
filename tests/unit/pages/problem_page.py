"""``docs/problems.md``: every kind of error answer, from the classes that make them."""

from __future__ import annotations

import importlib
import pkgutil
from http import HTTPStatus

import periscope_dataset
import periscope_registry
import periscope_training
from periscope.web.problems import Problem
from periscope_training.lifecycle import EXIT_KILLED, FINAL_EXIT_CODES, UNCOUNTED_EXIT_CODES

HEAD = """\
# Error answers

Made by `make pages` from the classes that make them. Every error of every service is `application/problem+json` (RFC 9457):

```json
{"type": "about:blank", "title": "Conflict", "status": 409, "detail": "what is wrong, and what to do", "request_id": "..."}
```

`detail` is for people and says what to do. Programs look at `status`, and at the fields that a problem may add: `errors` (`[{"pointer": "/input/width",
"message": "..."}]`, one entry for each field of the request that is wrong, or each reason against a zip), `users` (what needs a version or
data set), `reasons` (what needs a model's version). `request_id` finds the request in the service's log. `Retry-After` stands on what may be tried again.

| status | title | means | do |
|---|---|---|---|
"""
ADVICE = {
    HTTPStatus.BAD_REQUEST: "mend the request",
    HTTPStatus.UNAUTHORIZED: "send `Authorization: Bearer TOKEN`; `periscope login`",
    HTTPStatus.FORBIDDEN: "take a token of the role that `detail` names",
    HTTPStatus.NOT_FOUND: "check the name or number; it may have been removed",
    HTTPStatus.CONFLICT: "read `detail`: change the state first, or take another name; nothing was changed",
    HTTPStatus.PRECONDITION_FAILED: "read it again, decide again, send its new ETag",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "begin at a byte that the file has",
    HTTPStatus.UNPROCESSABLE_ENTITY: "mend what `errors` points to",
    HTTPStatus.TOO_MANY_REQUESTS: "wait as `Retry-After` says",
    HTTPStatus.SERVICE_UNAVAILABLE: "send the same again after `Retry-After`; nothing is half done",
    HTTPStatus.INTERNAL_SERVER_ERROR: "look for `request_id` in the service's log; tell us",
}
EXITS = """
## How a training ends

The training program's exit code is in `attempts[].exit_code` of a job; `error` holds its words and advice.

| exit code | means | then |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| {int(kind.status)} | {kind.title} | {(kind.__doc__ or '').strip().splitlines()[0]} | {ADVICE[HTTPStatus(kind.status)]} |"
        for kind in sorted(problem_types(), key=lambda kind: (kind.status, kind.title))
    ]
    codes = ["| 0 | complete | the job SUCCEEDED |"]
    codes += [f"| {code} | {told} | the job FAILS at once |" for code, told in FINAL_EXIT_CODES.items()]
    codes += [
        f"| {code} | {told} | the next attempt, not counted |" for code, told in UNCOUNTED_EXIT_CODES.items()
    ]
    codes += [f"| {EXIT_KILLED} | killed, or out of memory | the next attempt, counted |"]
    codes += ["| any other | a failure that may pass | the next attempt, counted |"]
    return HEAD + "\n".join(rows) + "\n" + EXITS + "\n".join(codes) + "\n"


def problem_types() -> set[type[Problem]]:
    """All kinds, of all services."""
    for package in (periscope_dataset, periscope_registry, periscope_training):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in ("__main__",):
                importlib.import_module(f"{package.__name__}.{module.name}")
    return {Problem, *Problem.__subclasses__()}
