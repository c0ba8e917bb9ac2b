"""What every command of the command line has: its session, and examples in its help."""

from __future__ import annotations

import typer

from periscope_cli.session import Session


def session_of(ctx: typer.Context) -> Session:
    """The session that the options before all commands made."""
    session = ctx.find_object(Session)
    if session is None:
        raise RuntimeError("a command was called without its session")
    return session


def examples(*lines: str) -> str:
    """An epilog of example lines; typer keeps paragraphs apart, not lines."""
    return "\n\n".join(["Examples:", *lines])
