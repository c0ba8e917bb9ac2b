"""``periscope watch``: a job's curves on the terminal, redrawn while it trains."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console as Terminal
from rich.console import Group
from rich.live import Live
from rich.text import Text

from periscope.wire.jobs import JobResponse
from periscope_cli.curves import draw, headline, loss_series, map_series
from periscope_cli.errors import Ended
from periscope_cli.failures import FAILED, CommandFailed, interruptible
from periscope_cli.job_texts import job_failure
from periscope_cli.session import Session
from periscope_cli.watching import job_goes_on

POINTS = 200
PLOT_LINES = 14
LEAST_COLUMNS = 40

Document = Mapping[str, Any]


def picture(job: Document, history: Document, width: int) -> Group:
    """Headline, losses and mAP, one below the other."""
    columns = max(width - 2, LEAST_COLUMNS)
    return Group(
        Text(headline(job)),
        Text.from_ansi(draw("loss", loss_series(history), columns, PLOT_LINES)),
        Text.from_ansi(draw("mAP by class", map_series(history), columns, PLOT_LINES)),
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
            history = jobs.history(job.id, POINTS).model_dump(mode="json")
            live.update(picture(job.model_dump(mode="json"), history, terminal.width), refresh=True)

        try:
            with interruptible(job_goes_on(job_id)):
                return jobs.wait(job_id, show, session.console.note).model_dump(mode="json")
        except Ended as error:
            ended = error.answer.model_dump(mode="json")
            raise CommandFailed(job_failure(ended), FAILED, ended) from error
