"""What can be wrong with an archive: one code, one message, one piece of advice for each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

MAX_LISTED = 100
MAX_TEXT_LENGTH = 1000
"""Longer names and messages are cut: an archive decides how long its names are."""


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


class IngestRefused(Exception):
    """The archive as a whole cannot be taken."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Findings:
    """Errors and warnings of one ingest; all are counted, the first hundred of each are listed."""

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    error_count: int = 0
    warning_count: int = 0

    def error(self, finding: Finding) -> None:
        """Note something that keeps the archive from becoming a version."""
        self.error_count += 1
        if len(self.errors) < MAX_LISTED:
            self.errors.append(_shortened(finding))

    def warn(self, finding: Finding) -> None:
        """Note something that the user should know."""
        self.warning_count += 1
        if len(self.warnings) < MAX_LISTED:
            self.warnings.append(_shortened(finding))

    def as_dict(self) -> dict[str, object]:
        """As the ingest document keeps it."""
        return {
            "errors": [asdict(finding) for finding in self.errors],
            "error_count": self.error_count,
            "warnings": [asdict(finding) for finding in self.warnings],
            "warning_count": self.warning_count,
        }


def _shortened(finding: Finding) -> Finding:
    file = None if finding.file is None else _cut(finding.file)
    return replace(finding, message=_cut(finding.message), advice=_cut(finding.advice), file=file)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[:MAX_TEXT_LENGTH] + "..."
