"""A program that behaves as its first argument says; the launcher contract runs it in place of a trainer."""

from __future__ import annotations

import signal
import sys
import time


def main(behaviour: str) -> int:
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "checkpoint":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("running", flush=True)
    if behaviour == "fail":
        print("a word before the end", flush=True)
        return 65
    if behaviour == "succeed":
        return 0
    time.sleep(60)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
