"""``periscope watch``: a job's curves on the terminal, redrawn while it trains."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.text import Text

from periscope.client import ServiceUnreachable
from periscope.wire.jobs import JobResponse
from periscope_cli.curves import draw, headline, loss_series, map_series
from periscope_cli.errors import Ended
from periscope_cli.failures import FAILED, CommandFailed, interruptible
from periscope_cli.job_texts import job_failure
from periscope_cli.session import Session
from periscope_cli.watching import job_goes_on

POINTS = 200
PLOT_LINES = range(7, 15)
"""Fewer cannot be read; more are not needed."""
LEAST_COLUMNS = 40

Document = Mapping[str, Any]


def picture(job: Document, history: Document, width: int, height: int) -> Group:
    """Headline, losses and mAP, one below the other, for a terminal of so many columns and lines."""
    columns = max(width - 2, LEAST_COLUMNS)
    # A line for the headline and one for the cursor.
    lines = min(max((height - 2) // 2, PLOT_LINES[0]), PLOT_LINES[-1])
    return Group(
        Text(headline(job), no_wrap=True, overflow="ellipsis"),
        Text.from_ansi(draw("loss", loss_series(history), columns, lines)),
        Text.from_ansi(draw("mAP by class", map_series(history), columns, lines)),
    )


def watch_curves(session: Session, job_id: str) -> dict[str, Any]:
    """Draw until the job has ended, and return it.

    Raises:
        CommandFailed: it failed or was cancelled, or Ctrl-C was pressed (the job then goes on).
    """
    terminal = Terminal(file=sys.stderr)
    jobs = session.api.jobs
    with Live(console=terminal, auto_refresh=False, transient=False) as live:

        def show(job: JobResponse) -> None:
            try:
                history = jobs.history(job.id, POINTS).model_dump(mode="json")
            except ServiceUnreachable:
                return  # Who waits for the job is patient; the next look draws again.
            shown = picture(job.model_dump(mode="json"), history, terminal.width, terminal.height)
            live.update(shown, refresh=True)

        try:
            with interruptible(job_goes_on(job_id)):
                return jobs.wait(job_id, show, session.console.note).model_dump(mode="json")
        except Ended as error:
            ended = error.answer.model_dump(mode="json")
            raise CommandFailed(job_failure(ended), FAILED, ended) from error
