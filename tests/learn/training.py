"""One training in memory, followed by the doctor; nothing is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectnet.classes import ClassMap
from detectnet.recipes import resolve_training
from detectnet_trainer.dataset import build_folder_split
from detectnet_trainer.diagnosis import Diagnosis
from detectnet_trainer.engine import NotFinite, StepReport
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.session import start_session


@dataclass(frozen=True)
class Outcome:
    """How a training went."""

    digits_map: dict[str, float]
    """By class, at the last validation."""
    findings: list[tuple[float, str]]
    """Epoch and code of everything that the doctor said."""
    epochs: float


def follow(
    folder: Path, work: Path, size: tuple[int, int], classes: str, options: Mapping[str, Any], threads: int
) -> Outcome:
    """Train the recipe ``default`` with ``options`` on a KITTI folder of its own size (width, height)."""
    names = ClassMap(classes.split(","))
    train, val = (
        build_folder_split(folder / name, size, names, work / f"{name}.npy") for name in ("train", "val")
    )
    session = start_session(train, val, names.names, resolve_training("default", options, threads=threads))
    diagnosis, trainer = Diagnosis(session), session.trainer
    findings: list[tuple[float, str]] = []
    maps: list[dict[str, float]] = []

    def after_step(report: StepReport) -> bool:
        if trainer.plan.validates_at(report.step):
            seen = evaluate(trainer.model, session.validation, session.names, session.device)
            said = diagnosis.examine(seen, report.epoch, report.step)
            findings.extend((report.epoch, finding.code) for finding in said)
            maps.append({name: score.digits_map for name, score in seen.classes.items()})
            print(f"    epoch {report.epoch:g}: loss_coverage {seen.loss_coverage:.3f} of empty {seen.all_zero_coverage_loss:.3f} "
                  f"constant {seen.constant_coverage_loss:.3f}, highest {seen.max_coverage:.2f}, {maps[-1]}", flush=True)  # fmt: skip
        return True

    try:
        trainer.run(after_step)
    except NotFinite:
        findings.append((trainer.plan.epoch_of(trainer.step), "not_finite"))
    return Outcome(maps[-1] if maps else {}, findings, trainer.plan.epoch_of(trainer.step))
