"""A line that shows how far something is: redrawn on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from periscope_cli.console import size_text

BAR_CELLS = 24
REDRAW_EVERY_S = 0.1
PLAIN_LINE_EVERY_S = 15.0


class ProgressLine:
    """One activity's progress; ``end`` it before anything else is printed."""

    def __init__(
        self, stream: TextIO, quiet: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._is_terminal = stream.isatty()
        self._monotonic = monotonic
        self._last_at = float("-inf")
        self._last_text = ""
        self._is_open = False

    def show(self, title: str, ratio: float | None, told: str, *, milestone: bool = False) -> None:
        """Show ``ratio`` (0..1) and a few words; a ``milestone`` always gets a line of its own.

        None for the ratio says that nobody knows how much there is.
        """
        bar = f" [{_bar(ratio)}]" if self._is_terminal and ratio is not None else ""
        share = "" if ratio is None else f" {100 * ratio:3.0f} %"
        text = f"{title}{bar}{share}  {told}".rstrip()
        now = self._monotonic()
        pause_s = REDRAW_EVERY_S if self._is_terminal else PLAIN_LINE_EVERY_S
        if self._quiet or text == self._last_text or (not milestone and now - self._last_at < pause_s):
            return
        self._last_at, self._last_text = now, text
        if self._is_terminal:
            self._stream.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
            self._is_open = True
            if milestone:
                self.end()
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the line as it is and begin a new one."""
        if self._is_open:
            self._stream.write("\n")
            self._stream.flush()
            self._is_open = False

    def bytes_done(self, title: str) -> Callable[[int, int], None]:
        """A callback for uploads and downloads; a total below what is done is not known."""
        began = self._monotonic()

        def show(done: int, total: int) -> None:
            elapsed_s = max(self._monotonic() - began, 1e-3)
            pace = f"{size_text(done / elapsed_s)}/s"
            if total < done:
                self.show(title, None, f"{size_text(done)}, {pace}")
            else:
                told = f"{size_text(done)} of {size_text(total)}, {pace}"
                self.show(title, done / total if total else 1.0, told, milestone=done >= total)

        return show


def _bar(ratio: float) -> str:
    filled = min(max(round(ratio * BAR_CELLS), 0), BAR_CELLS)
    return "#" * filled + "." * (BAR_CELLS - filled)
