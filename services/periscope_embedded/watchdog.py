"""Ends everything with a mark once the supervisor is gone, however it went: even by SIGKILL.

``python -m periscope_embedded.watchdog MARK`` reads standard input until its end; the supervisor holds the
other end of the pipe and never writes. It needs the standard library only.
"""

from __future__ import annotations

import os
import signal
import sys

from periscope_embedded.marked import end_marked

GRACE_S = 8.0


def main(mark: str) -> None:
    """Wait for the supervisor's end, then tidy up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    end_marked(mark, GRACE_S)


if __name__ == "__main__":
    main(sys.argv[1])
