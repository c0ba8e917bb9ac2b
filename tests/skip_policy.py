"""A pytest plugin: a skipped test fails the run unless ``tests/allowed_skips.txt`` names it with a reason.

Each run appends its skips to the file named by ``PERISCOPE_SKIP_TABLE``, so that one table can end a
run of several pytest calls.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


@dataclass(frozen=True)
class AllowedSkip:
    """One line of the list: which tests may be skipped, and why."""

    pattern: str
    reason: str


def read_allowed_skips(text: str) -> list[AllowedSkip]:
    """Parse lines ``<node id or pattern> | <reason>``; ``#`` begins a comment.

    Raises:
        ValueError: a line has no reason.
    """
    allowed = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = (part.strip() for part in line.partition("|"))
        if not reason:
            raise ValueError(f"line {number} of the allowed skips gives no reason: {line!r}")
        allowed.append(AllowedSkip(pattern, reason))
    return allowed


def reason_allowing(node_id: str, allowed: list[AllowedSkip]) -> str | None:
    """The reason that covers a skipped test, or None when nothing does."""
    for skip in allowed:
        if fnmatchcase(node_id, skip.pattern):
            return skip.reason
    return None


@dataclass(eq=False)  # pytest keeps plugins in a set.
class SkipPolicy:
    """Collects the skips of one run and judges them at its end."""

    allowed: list[AllowedSkip]
    table: Path | None
    skipped: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; an expected failure is no skip."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = str(getattr(report.longrepr, "__getitem__", str)(2))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skipped itself whole."""
        if report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run over a skip that nobody allowed."""
        if hasattr(session.config, "workerinput"):
            return
        if self.unexplained() and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.table is not None:
            with self.table.open("a") as file:
                for node_id, said in sorted(self.skipped.items()):
                    file.write(
                        f"{node_id} | {reason_allowing(node_id, self.allowed) or 'NOT ALLOWED'} | {said}\n"
                    )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which skips failed the run."""
        for node_id in self.unexplained():
            terminalreporter.write_line(
                f"SKIP NOT ALLOWED: {node_id} ({self.skipped[node_id]}); "
                f"make it run, or name it with its reason in {ALLOWED_SKIPS.name}",
                red=True,
            )

    def unexplained(self) -> list[str]:
        """The skipped tests that the list does not name."""
        return sorted(node_id for node_id in self.skipped if reason_allowing(node_id, self.allowed) is None)


def pytest_configure(config: pytest.Config) -> None:
    """Install the policy once in each process."""
    table = os.environ.get("PERISCOPE_SKIP_TABLE")
    policy = SkipPolicy(read_allowed_skips(ALLOWED_SKIPS.read_text()), Path(table) if table else None)
    config.pluginmanager.register(policy, "skip-policy")
