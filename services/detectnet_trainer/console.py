"""What ``detectnet train`` shows on a terminal: a bar below the lines that it says."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NoReturn, TextIO

from tqdm import tqdm

from detectnet_trainer.engine import StepReport


class TrainingConsole(AbstractContextManager["TrainingConsole"]):
    """Lines go to standard error; the bar is drawn there too, where that is a terminal."""

    def __init__(self, stream: TextIO | None = None, *, bar: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._bar: tqdm[NoReturn] | None = None
        self._wants_bar = bar and self._stream.isatty()

    def say(self, text: str) -> None:
        """One line, above the bar."""
        tqdm.write(text, file=self._stream)
        self._stream.flush()

    def show(self, report: StepReport, steps: int) -> None:
        """Move the bar to a step; its remaining time is counted from where this run began."""
        if not self._wants_bar:
            return
        first = report.step - 1
        if self._bar is None:
            self._bar = tqdm(total=steps, initial=first, unit="step", file=self._stream, leave=False)
        losses = f"loss_bbox {report.loss_bbox:.2f} loss_coverage {report.loss_coverage:.2f}"
        self._bar.set_postfix_str(f"epoch {report.epoch:.2f} {losses}", refresh=False)
        self._bar.update(report.step - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
