"""Which GPUs trainings can have: those of this machine by nvidia-smi, those of a cluster by its settings."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from periscope.wire.job_options import Gpu
from periscope_training.launcher import NoPlaceYet, RunRefused

FIELDS = ("index", "uuid", "name", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu")
PATIENCE_S = 5.0
MIB = 1 << 20


def local_gpus(
    run: Callable[[Sequence[str]], str] | None = None, environ: Mapping[str, str] = os.environ
) -> list[Gpu]:
    """This machine's GPUs, those of ``CUDA_VISIBLE_DEVICES`` where it is set.

    There are none where there is no nvidia-smi, or it does not answer.
    """
    program = shutil.which("nvidia-smi")
    if run is None and program is None:
        return []
    command = [program or "nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        text = (run or _run)(command)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [row for row in csv.reader(text.splitlines()) if len(row) == len(FIELDS)]
    gpus = [_gpu([cell.strip() for cell in row]) for row in rows]
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    named = {name.strip() for name in visible.split(",")}
    return [gpu for gpu in gpus if not named.isdisjoint({str(gpu.index), gpu.uuid})]


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


def why_not(wish: Mapping[str, Any], present: Sequence[int]) -> tuple[str, str] | None:
    """The field of a job's ``resources`` that a machine with these GPUs can never satisfy, and a sentence."""
    named, count, there = wish.get("gpu_indices"), wish.get("gpus"), _told(present)
    if named is not None and count is not None:
        return "gpu_indices", "Give gpus, how many, or gpu_indices, which; not both."
    if unknown := sorted(set(named or ()) - set(present)):
        return "gpu_indices", f"This machine has no GPU {', '.join(map(str, unknown))}; there {there}."
    if count is not None and count > len(present):
        return "gpus", f"There {there} on this machine. Ask for no more than that; 0 trains on the CPU."
    return None


def chosen_gpus(wish: Mapping[str, Any], present: Sequence[int], taken: Collection[int]) -> list[int]:
    """The GPUs that a run gets, lowest first: those it names, or as many free ones as it asks for (one).

    Raises:
        NoPlaceYet: others hold them.
        RunRefused: one that it names is no longer there.
    """
    named = wish.get("gpu_indices")
    if gone := sorted(set(named or ()) - set(present)):
        raise RunRefused(f"this machine has no GPU {', '.join(map(str, gone))} any more")
    count = min(wish.get("gpus", 1), len(present)) if named is None else len(set(named))
    free = [index for index in present if index not in taken and (named is None or index in named)]
    if len(free) < count:
        what = f"GPU {', '.join(map(str, sorted(set(named))))}" if named else f"{count} free GPU(s)"
        raise NoPlaceYet(f"it waits for {what}; other trainings hold {', '.join(map(str, sorted(taken)))}")
    return free[:count]


def _told(present: Sequence[int]) -> str:
    return f"are {', '.join(map(str, present))}" if present else "is none"
