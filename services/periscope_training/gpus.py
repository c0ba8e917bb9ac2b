"""Which GPUs trainings can have: those of this machine by nvidia-smi, those of a cluster by its settings."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable, Sequence

from pydantic import Field

from periscope.wire.base import ResponseModel

FIELDS = ("index", "uuid", "name", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu")
PATIENCE_S = 5.0
MIB = 1 << 20


class Gpu(ResponseModel):
    """One GPU as it is now."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    memory_used_bytes: int
    utilisation_ratio: float | None = Field(description="0-1")
    temperature_celsius: float | None


class GpuList(ResponseModel):
    """Where jobs run."""

    launcher: str = Field(description="process or kubernetes")
    max_concurrent_jobs: int
    running: int
    gpus_per_job: int = Field(description="0 trains on the CPU")
    gpus: list[Gpu] = Field(description="Of this machine; of a cluster its own tools tell")


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
