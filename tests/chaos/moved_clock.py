"""``python -m tests.chaos.moved_clock ARGUMENTS``: gunicorn, whose service has a clock that can be set while it runs.

The wall clock of the service's own code is moved, by what stands in the file that CHAOS_CLOCK names; time-outs
count by the monotonic clock, which no jump of a real clock moves either.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from periscope import clock

CLOCK = "CHAOS_CLOCK"


def offset_s() -> float:
    """So far from the machine's clock."""
    return float(Path(os.environ[CLOCK]).read_text() or 0)


def move() -> None:
    """From now on, for whoever asks the time; before anything has taken the functions by their names."""
    right_now, right_time = clock.utc_now, time.time

    def utc_now() -> datetime:
        return right_now() + timedelta(seconds=offset_s())

    def seconds() -> float:
        return right_time() + offset_s()

    clock.utc_now = utc_now
    time.time = seconds


if __name__ == "__main__":
    move()
    sys.argv[0] = "gunicorn"
    runpy.run_module("gunicorn", run_name="__main__")
