"""Which GPUs trainings can have: those of this machine by nvidia-smi, those of a cluster by its settings."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable, Sequence

from periscope.wire.job_options import Gpu

FIELDS = ("index", "uuid", "name", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu")
PATIENCE_S = 5.0
MIB = 1 << 20


def local_gpus(run: Callable[[Sequence[str]], str] | None = None) -> list[Gpu]:
    """This machine's GPUs; none where there is no nvidia-smi, or it does not answer."""
    program = shutil.which("nvidia-smi")
    if run is None and program is None:
        return []
    command = [program or "nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        text = (run or _run)(command)
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        _gpu([cell.strip() for cell in row])
        for row in csv.reader(text.splitlines())
        if len(row) == len(FIELDS)
    ]


def _gpu(cells: Sequence[str]) -> Gpu:
    index, uuid, name, total, used, utilisation, temperature = cells
    ratio = _number(utilisation)
    return Gpu(
        index=int(index),
        uuid=uuid,
        name=name,
        memory_bytes=int(_number(total) or 0) * MIB,
        memory_used_bytes=int(_number(used) or 0) * MIB,
        utilisation_ratio=None if ratio is None else ratio / 100,
        temperature_celsius=_number(temperature),
    )


def _number(cell: str) -> float | None:
    """nvidia-smi writes [N/A] for what a board does not know."""
    try:
        return float(cell)
    except ValueError:
        return None


def _run(command: Sequence[str]) -> str:
    return subprocess.run(  # noqa: S603 - the program found on PATH, with our own arguments
        command, capture_output=True, text=True, check=True, timeout=PATIENCE_S
    ).stdout
