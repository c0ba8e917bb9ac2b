"""What can be wrong with an archive: one code, one message, one piece of advice for each.

Errors of two sorts: those of single files and of the archive keep it from becoming a version; those of the
whole (the lint's) let it become one, and keep training jobs from it until they are overridden by their code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from periscope_dataset.explanations import EXPLANATIONS

MAX_LISTED = 100
MAX_EXAMPLES = 10
MAX_TEXT_LENGTH = 1000
"""Longer names and messages are cut: an archive decides how long its names are."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    code: str
    message: str
    advice: str
    file: str | None = None
    """The member, as the archive names it."""
    line: int | None = None
    """From 1."""


@dataclass(frozen=True)
class Example:
    """One place where a finding is true."""

    file: str | None = None
    line: int | None = None
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom in pixels of the picture's file."""


class IngestRefused(Exception):
    """The archive as a whole cannot be taken."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Group:
    """All findings of one code."""

    code: str
    severity: Severity
    count: int
    message: str
    examples: list[Example]

    def as_dict(self) -> dict[str, object]:
        """With why it matters and what to do."""
        explanation = EXPLANATIONS[self.code]
        return {**asdict(self), "why": explanation.why, "advice": explanation.advice}


@dataclass
class Findings:
    """Errors and warnings of one ingest; all are counted, the first hundred of each are listed."""

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    error_count: int = 0
    warning_count: int = 0
    groups: dict[str, Group] = field(default_factory=dict)

    def error(self, finding: Finding) -> None:
        """Note something that keeps the archive from becoming a version."""
        self.error_count += 1
        if len(self.errors) < MAX_LISTED:
            self.errors.append(_shortened(finding))
        self._add(finding, "error")

    def warn(self, finding: Finding) -> None:
        """Note something that the user should know."""
        self.warning_count += 1
        if len(self.warnings) < MAX_LISTED:
            self.warnings.append(_shortened(finding))
        self._add(finding, "warning")

    def lint(
        self, code: str, severity: Severity, message: str, count: int, examples: Iterable[Example] = ()
    ) -> None:
        """Note something about the whole; over a group of the same code, it replaces all but its examples."""
        known = self.groups.get(code)
        kept = list(examples)[:MAX_EXAMPLES] or (known.examples if known else [])
        shown = [replace(item, file=None if item.file is None else _cut(item.file)) for item in kept]
        self.groups[code] = Group(code, severity, count, _cut(message), shown)

    def report(self) -> list[dict[str, object]]:
        """One entry a code, errors first."""
        ordered = sorted(self.groups.values(), key=lambda group: (group.severity, group.code))
        return [group.as_dict() for group in ordered]

    def as_dict(self) -> dict[str, object]:
        """As the ingest document keeps it."""
        return {
            "errors": [asdict(finding) for finding in self.errors],
            "error_count": self.error_count,
            "warnings": [asdict(finding) for finding in self.warnings],
            "warning_count": self.warning_count,
            "findings": self.report(),
        }

    def _add(self, finding: Finding, severity: Severity) -> None:
        short = _shortened(finding)
        group = self.groups.setdefault(finding.code, Group(finding.code, severity, 0, short.message, []))
        group.count += 1
        if len(group.examples) < MAX_EXAMPLES and short.file is not None:
            group.examples.append(Example(short.file, short.line))


def _shortened(finding: Finding) -> Finding:
    file = None if finding.file is None else _cut(finding.file)
    return replace(finding, message=_cut(finding.message), advice=_cut(finding.advice), file=file)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[:MAX_TEXT_LENGTH] + "..."
