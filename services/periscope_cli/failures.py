"""How a command ends: the exit codes, and what each failure says.

Scripts tell failures apart by the exit code, people by the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from periscope.client import ServiceError, ServiceProblem, ServiceUnreachable
from periscope_cli.errors import AddressMissing, ConnectionUnusable, Ended, NotThere

SAME_AGAIN = "what is done is kept, and the same command goes on with it"
"""What is told where a transfer is interrupted that can be gone on with."""

OK, FAILED, USAGE, UNREACHABLE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_CODES = f"""exit codes:
  {OK}    done
  {FAILED}    failed: the job, ingest or publication failed, or a file is damaged or missing
  {USAGE}    the command line is wrong
  {UNREACHABLE}    a service or the store gave no usable answer; the same call may succeed later
  {REFUSED}    a service refused: not allowed, not found, or an invalid value
  {INTERRUPTED}  interrupted; what runs on a server goes on
"""


class CommandFailed(Exception):
    """A command cannot go on. ``document`` is what ``--json`` prints beside the text."""

    def __init__(self, message: str, exit_code: int = FAILED, document: Any = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.document = document


@contextmanager
def interruptible(told: str) -> Iterator[None]:
    """Ctrl-C in here ends the command; ``told`` says what stays or goes on. Raises CommandFailed."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandFailed(f"interrupted; {told}", INTERRUPTED) from error


def not_found(message: str) -> CommandFailed:
    """What was named does not exist on the server."""
    return CommandFailed(message, REFUSED)


def failure_of(error: ServiceError) -> CommandFailed:
    """A failed call, cut by what the caller can do."""
    if isinstance(error, AddressMissing | ConnectionUnusable):
        return CommandFailed(str(error), USAGE)
    if isinstance(error, NotThere):
        return not_found(str(error))
    if isinstance(error, Ended):
        return CommandFailed(str(error), FAILED, error.answer.model_dump(mode="json"))
    if isinstance(error, ServiceProblem):
        code = UNREACHABLE if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else REFUSED
        return CommandFailed(_problem_text(error), code, error.document)
    code = UNREACHABLE if isinstance(error, ServiceUnreachable) else FAILED
    return CommandFailed(str(error), code)


def _problem_text(error: ServiceProblem) -> str:
    lines = [str(error)]
    for entry in error.document.get("errors") or []:
        text = f"  {entry.get('pointer', '')}: {entry.get('message', '')}"
        if entry.get("message", "") not in lines[0]:
            lines.append(text)
    request_id = error.document.get("request_id")
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and request_id:
        lines.append(f"  request id: {request_id}")
    return "\n".join(lines)
