"""Several training processes, on one machine or several, and what their ends mean together.

torchrun starts them and ends the rest when one dies, but its own exit code says only that something went
wrong. So every process leaves its exit code in a file, and the main process makes one of them all.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

KILLED = 137
INTERNAL, ON_TERM = 70, 143
DEFAULT_GRACE_S = 60.0
MARGIN_S = 15.0
"""Of the grace period, kept for ending what has not ended by itself."""
POLL_S = 0.1
RESULTS = "PERISCOPE_RANK_RESULTS"
"""Environment variable: the folder for the processes' files."""


@dataclass(frozen=True)
class Place:
    """Which of how many machines this is, and where the first one is reached (``name:port``)."""

    nodes: int = 1
    node_rank: int = 0
    first_node: str = ""

    @property
    def flags(self) -> list[str]:
        """Torchrun's. A static rendezvous: the first machine is known, nobody has to win an election."""
        if self.nodes == 1:
            return ["--standalone"]
        address, _, port = self.first_node.rpartition(":")
        return [
            f"--nnodes={self.nodes}", f"--node-rank={self.node_rank}",
            f"--master-addr={address}", f"--master-port={port}",
        ]  # fmt: skip


def run_ranks(
    arguments: Sequence[str], count: int, place: Place, work_dir: Path, environ: Mapping[str, str]
) -> int:
    """Run ``detectnet <arguments>`` in ``count`` processes; return the one exit code they come to.

    SIGTERM goes to every process, not to torchrun, which would give them a time of its own.
    """
    results = work_dir / "ranks"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    grace_s = float(environ.get("PERISCOPE_STOP_GRACE_S") or DEFAULT_GRACE_S)
    command = [
        sys.executable, "-m", "torch.distributed.run", *place.flags, f"--nproc-per-node={count}",
        "--max-restarts=0", f"--log-dir={results}", "-m", "detectnet_trainer", *arguments,
    ]  # fmt: skip
    with _termination() as term:
        child = subprocess.Popen(  # noqa: S603 - our own argument list
            command, env={**environ, RESULTS: str(results)}, start_new_session=True
        )
        try:
            deadline = None
            while child.poll() is None:
                if term.came and deadline is None:
                    deadline = time.monotonic() + max(grace_s - MARGIN_S, 1.0)
                    _signal_ranks(results, signal.SIGTERM)
                if deadline is not None and time.monotonic() > deadline:
                    break
                time.sleep(POLL_S)
        finally:
            # torchrun's processes are in groups of their own.
            _end_group(child)
            _signal_ranks(results, signal.SIGKILL)
    own = range(place.node_rank * count, (place.node_rank + 1) * count)
    return combined_code(_codes(results, own), asked_to_end=term.came)


def combined_code(codes: Sequence[int | None], asked_to_end: bool) -> int:
    """One exit code of the processes' own, by rank; None is a process that was killed.

    A process that loses the others fails too, as an internal error; so what another one says counts more,
    and of those the lowest rank's.
    """
    telling = [code for code in codes if code not in (0, INTERNAL, ON_TERM, None)]
    if telling:
        return int(telling[0] or 0)
    if all(code == 0 for code in codes):
        return 0
    if all(code in (0, ON_TERM) for code in codes) and asked_to_end:
        return ON_TERM
    return KILLED if None in codes and asked_to_end else INTERNAL


def note_start(environ: Mapping[str, str] = os.environ) -> None:
    """In a training process: tell the main process where to send signals."""
    _write(environ, "pid", os.getpid())


def note_end(code: int, environ: Mapping[str, str] = os.environ) -> None:
    """In a training process: leave the exit code."""
    _write(environ, "code", code)


def _write(environ: Mapping[str, str], kind: str, value: int) -> None:
    if RESULTS in environ:
        path = Path(environ[RESULTS]) / f"{environ['RANK']}.{kind}"
        draft = path.with_suffix(f".{kind}.new")
        draft.write_text(json.dumps(value))
        draft.replace(path)


def _codes(results: Path, ranks: range) -> list[int | None]:
    paths = [results / f"{rank}.code" for rank in ranks]
    return [int(json.loads(path.read_text())) if path.exists() else None for path in paths]


def _signal_ranks(results: Path, number: signal.Signals) -> None:
    for path in results.glob("*.pid"):
        if not path.with_suffix(".code").exists():
            with suppress(ProcessLookupError):
                os.kill(int(json.loads(path.read_text())), number)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Term:
    """Whether SIGTERM came."""

    came = False

    def set(self, _signal: int, _frame: FrameType | None) -> None:
        self.came = True


@contextmanager
def _termination() -> Iterator[_Term]:
    term = _Term()
    before = signal.signal(signal.SIGTERM, term.set)
    try:
        yield term
    finally:
        signal.signal(signal.SIGTERM, before)
