"""The command ``periscope``: what people and scripts call. It talks HTTP to the three services only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException
from typer.main import get_command
from typer.rich_utils import rich_format_error

from periscope.client import ServiceError
from periscope_cli.command_line import app, globals_first
from periscope_cli.console import Console, ReaderGone
from periscope_cli.failures import INTERRUPTED, OK, USAGE, CommandFailed, failure_of

COMMAND = get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    ordered = globals_first(sys.argv[1:] if arguments is None else list(arguments))
    console = Console("--json" in ordered)
    try:
        return int(COMMAND.main(ordered, prog_name="periscope", standalone_mode=False) or OK)
    except TyperException as error:
        # Typer's own words: the usage, and what is wrong with this command line.
        rich_format_error(error)  # type: ignore[arg-type] # all but the base class are what it takes
        console.tell_failure(CommandFailed(str(error), USAGE))
        return USAGE
    except CommandFailed as error:
        console.failure(error)
        return error.exit_code
    except ServiceError as error:
        failure = failure_of(error)
        console.failure(failure)
        return failure.exit_code
    except (KeyboardInterrupt, typer.Abort):
        console.failure(CommandFailed("interrupted", INTERRUPTED))
        return INTERRUPTED
    except ReaderGone:
        # Nothing may be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


if __name__ == "__main__":
    sys.exit(main())
