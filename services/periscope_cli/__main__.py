"""The command ``periscope``: what people and scripts call. It talks HTTP to the three services only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from periscope.client import ServiceError
from periscope_cli.arguments import build_parser
from periscope_cli.connection import Connection, Session
from periscope_cli.console import Console
from periscope_cli.failures import INTERRUPTED, OK, CommandFailed, failure_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    chosen = build_parser().parse_args(arguments)
    console = Console(chosen.json, quiet=chosen.quiet)
    try:
        connection = Connection.find(vars(chosen), os.environ, Path.cwd())
        chosen.run(Session(connection, console), chosen)
    except CommandFailed as error:
        console.failure(error)
        return error.exit_code
    except ServiceError as error:
        failure = failure_of(error)
        console.failure(failure)
        return failure.exit_code
    except KeyboardInterrupt:
        console.failure(CommandFailed("interrupted", INTERRUPTED))
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as in `periscope jobs | head`: nothing may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return OK


if __name__ == "__main__":
    sys.exit(main())
