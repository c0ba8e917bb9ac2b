"""What can be wrong with an archive: one code, one message, one piece of advice for each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

MAX_LISTED = 100


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    code: str
    message: str
    advice: str
    file: str | None = None
    line: int | None = None


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
            self.errors.append(finding)

    def warn(self, finding: Finding) -> None:
        """Note something that the user should know."""
        self.warning_count += 1
        if len(self.warnings) < MAX_LISTED:
            self.warnings.append(finding)

    def as_dict(self) -> dict[str, object]:
        """As the ingest document keeps it."""
        return {
            "errors": [asdict(finding) for finding in self.errors],
            "error_count": self.error_count,
            "warnings": [asdict(finding) for finding in self.warnings],
            "warning_count": self.warning_count,
        }
