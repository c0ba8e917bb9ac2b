"""What the training program says last: one line of JSON before a non-zero exit."""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_REPORT_BYTES = 16 << 10
"""A last line longer than this is no report."""


@dataclass(frozen=True)
class ErrorReport:
    """Why the training program gave up, in its own words."""

    error: str
    code: str = ""
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.error} {self.advice}".strip()


def parse_error_report(log: bytes) -> ErrorReport | None:
    """The report in the log's last line that is not blank, or None when that line is something else."""
    last = log[-MAX_REPORT_BYTES:].rstrip().rpartition(b"\n")[2]
    try:
        parsed = json.loads(last)
    except ValueError:
        return None
    if not isinstance(parsed, dict) or not parsed.get("error"):
        return None
    return ErrorReport(*(str(parsed.get(name) or "") for name in ("error", "code", "advice")))
