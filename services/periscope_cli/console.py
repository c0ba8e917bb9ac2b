"""What a command prints: one result on standard output, everything else on standard error.

With ``--json`` the result is one JSON document, the service's own; without, it is for people.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from periscope_cli.failures import CommandFailed


class ReaderGone(Exception):
    """Who read our output has seen enough, as in `periscope jobs | head`."""


class Console:
    """The two streams of one command."""

    def __init__(
        self, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None, quiet: bool = False
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.out = out or sys.stdout
        self.err = err or sys.stderr

    def result(self, document: Any, text: str) -> None:
        """What the command was called for."""
        self.stream((json.dumps(document, indent=2) if self.as_json else text) + "\n")

    def stream(self, text: str) -> None:
        """A piece of a result that comes bit by bit. Raises ReaderGone."""
        try:
            self.out.write(text)
            self.out.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error

    def note(self, text: str) -> None:
        """What happens meanwhile."""
        if not self.quiet:
            self.err.write(text + "\n")
            self.err.flush()

    def failure(self, error: CommandFailed) -> None:
        """Why the command ends; with ``--json`` also a document, so that scripts need not read text."""
        self.err.write(f"periscope: {error}\n")
        self.err.flush()
        self.tell_failure(error)

    def tell_failure(self, error: CommandFailed) -> None:
        """With ``--json``: the failure as a document."""
        if self.as_json:
            told = {"message": str(error), "exit_code": error.exit_code, "details": error.document}
            self.out.write(json.dumps({"error": told}, indent=2) + "\n")
            self.out.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text under a header; numbers and dates as they are, None as a dash."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def percent(ratio: float | None) -> str:
    """A ratio as people read it."""
    return "-" if ratio is None else f"{100 * ratio:.1f} %"


def size_text(size_bytes: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.2f} GB"


def duration_text(seconds: float | None) -> str:
    """Seconds as minutes:seconds or hours:minutes:seconds; a dash where unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
