"""Random requests by a service's own OpenAPI document, on real resources: what no answer may be.

Schemathesis makes the requests and compares the answers with the document. Half of them name resources that
exist, so that they get behind the first 404. The seed is fixed: a failure is the same failure tomorrow.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

SEED = 20_261_101
WANTED = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")

Statuses = dict[str, Counter[int]]


def fuzz(
    app: Any,
    headers: Mapping[str, str],
    resources: Callable[[], Mapping[str, str]],
    *,
    examples: int = 12,
    leave_out: tuple[str, ...] = (),
) -> Statuses:
    """Call every operation; return how often it answered with which status.

    ``resources`` gives path parameters of things that exist, made anew where a request may have removed them.
    Raises AssertionError, or Schemathesis's failures, for an answer that is undeclared or a crash.
    """
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    found: Statuses = defaultdict(Counter)
    checks = [CHECKS.get_one(name) for name in WANTED]
    for result in schema.get_all_operations():
        operation = result.ok()
        name = f"{operation.method.upper()} {operation.path}"
        if operation.path in leave_out:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _run(operation, mode, headers, resources, checks, found[name], examples)
    return dict(found)


def never_reached(found: Statuses) -> list[str]:
    """Operations that no request got a 2xx from."""
    return sorted(name for name, seen in found.items() if not any(200 <= status < 300 for status in seen))


def _run(
    operation: Any,
    mode: GenerationMode,
    headers: Mapping[str, str],
    resources: Callable[[], Mapping[str, str]],
    checks: list[Any],
    seen: Counter[int],
    examples: int,
) -> None:
    calls = iter(range(10**6))

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        if next(calls) % 2 == 0 and case.path_parameters:
            real = resources()
            case.path_parameters = {
                name: real.get(name, value) for name, value in case.path_parameters.items()
            }
        # A long poll does nothing but take its time.
        (case.query or {}).pop("wait", None)
        case.headers = {**(case.headers or {}), **headers}
        response = case.call()
        seen[response.status_code] += 1
        assert response.status_code < 500, (
            f"{case.method} {case.formatted_path} {case.query} {case.body!r}: {response.text}"
        )
        case.validate_response(response, checks=checks)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()
