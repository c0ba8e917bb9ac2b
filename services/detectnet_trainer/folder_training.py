"""Training on a KITTI folder of this machine: ``detectnet train``.

Writes into its output folder what others load (Caffe pair, ONNX grid, labels), the curves, and a checkpoint
from which the same command goes on.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detectnet.classes import ClassMap
from detectnet.recipes import resolve_training
from detectnet.sizes import require_grid_size
from detectnet_trainer.checkpoint import dump_checkpoint, restore_checkpoint, write_durably
from detectnet_trainer.dataset import build_folder_split, class_names_of_folder
from detectnet_trainer.diagnosis import Diagnosis
from detectnet_trainer.engine import StepReport
from detectnet_trainer.evaluate import Evaluation, evaluate
from detectnet_trainer.export import export_snapshot
from detectnet_trainer.session import Session, start_session

CHECKPOINT = "checkpoint.pt"
CURVES = "curves.csv"
DESCRIPTION = "training.json"

Say = Callable[[str], None]
Show = Callable[[StepReport, int], None]
Row = dict[str, Any]


def train_folder(
    folder: Path,
    out: Path,
    size: tuple[int, int],
    classes: str | None,
    recipe: str,
    overrides: Mapping[str, Any],
    say: Say,
    weights: Path | None = None,
    show: Show = lambda _report, _steps: None,
) -> dict[str, Any]:
    """Train on ``folder/train``, validate on ``folder/val``; go on where a run into ``out`` stopped.

    ``weights`` is a .caffemodel or torchvision's GoogLeNet to begin with; ``show`` is called after each step
    with its report and the number of all steps. Returns the last validation's
    figures. Raises BadData, IllegalSize and what a session raises.
    """
    require_grid_size(*size)
    out.mkdir(parents=True, exist_ok=True)
    class_map = ClassMap(classes.split(",") if classes else class_names_of_folder(folder))
    training = resolve_training(recipe, overrides, threads=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(dir=out) as cache:
        train, validation = (
            build_folder_split(folder / name, size, class_map, Path(cache) / f"{name}.npy")
            for name in ("train", "val")
        )
        start = None if weights is None else weights.read_bytes()
        session = start_session(train, validation, class_map.names, training, weights=start)
        for note in session.notes:
            say(note)
        for warning in session.warnings:
            say(f"WARNING: {warning}")
        description = {"width": size[0], "height": size[1], "classes": class_map.names, "training": training}
        (out / DESCRIPTION).write_text(json.dumps(description, indent=2))
        (out / "labels.txt").write_text("".join(f"{name}\n" for name in class_map.names))
        saver = _Saver(session, size, out, say, show)
        saver.go_on()
        session.trainer.run(saver.after_step)
    return saver.last


class _Saver:
    """Validates after each interval and writes the results; the checkpoint, written last, seals them."""

    def __init__(self, session: Session, size: tuple[int, int], out: Path, say: Say, show: Show) -> None:
        self.last: Row = {}
        self._session = session
        self._size = size
        self._out = out
        self._say = say
        self._show = show
        self._diagnosis = Diagnosis(session)
        self._since_validation: list[StepReport] = []

    def go_on(self) -> None:
        """Take up the checkpoint in the output folder, if there is one."""
        path = self._out / CHECKPOINT
        if path.exists():
            for warning in restore_checkpoint(
                self._session.trainer, self._session.training, path.read_bytes()
            ):
                self._say(f"WARNING: {warning}")
            self._say(f"going on after step {self._session.trainer.step}")

    def after_step(self, report: StepReport) -> bool:
        """Never asks to stop."""
        self._since_validation.append(report)
        self._show(report, self._session.trainer.plan.max_step)
        if self._session.trainer.plan.validates_at(report.step):
            self._validate(report)
        return True

    def _validate(self, report: StepReport) -> None:
        session, trainer = self._session, self._session.trainer
        evaluation = evaluate(
            trainer.model,
            session.validation,
            session.names,
            session.device,
            session.training["val_batch_size"],
        )
        trainer.require_finite(evaluation.loss_bbox, evaluation.loss_coverage)
        files = export_snapshot(trainer.model, report.step, *self._size, trainer.mean).files
        for name, content in files.items():
            write_durably(self._out / name, content)
        self._add_to_curves(_row(self._since_validation, evaluation))
        write_durably(self._out / CHECKPOINT, dump_checkpoint(trainer, session.training))
        self._since_validation = []
        findings = self._diagnosis.examine(evaluation, report.epoch, report.step)
        doctor = [finding.as_dict() for finding in findings]
        self.last = {"step": report.step, "epoch": report.epoch, **evaluation.as_dict(), "doctor": doctor}
        self._say(_line(report, evaluation))
        for finding in findings:
            self._say(f"WARNING: {finding}")

    def _add_to_curves(self, row: Row) -> None:
        path = self._out / CURVES
        rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        # A killed run may have written a row that its checkpoint did not reach.
        rows = [earlier for earlier in rows if int(earlier["step"]) < row["step"]]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])
        write_durably(path, text.getvalue().encode())


def _row(reports: list[StepReport], evaluation: Evaluation) -> Row:
    """One line of the curves; training losses are means since the validation before."""
    row: Row = {
        "epoch": reports[-1].epoch,
        "step": reports[-1].step,
        "learning_rate": reports[-1].learning_rate,
        "train_loss_bbox": float(np.mean([report.loss_bbox for report in reports])),
        "train_loss_coverage": float(np.mean([report.loss_coverage for report in reports])),
        "val_loss_bbox": evaluation.loss_bbox,
        "val_loss_coverage": evaluation.loss_coverage,
        "all_zero_coverage_loss": evaluation.all_zero_coverage_loss,
    }
    for name, score in evaluation.classes.items():
        row |= {
            f"precision-{name}": score.precision,
            f"recall-{name}": score.recall,
            f"digits_map-{name}": score.digits_map,
            f"pooled_map-{name}": score.pooled_map,
        }
    for name, precision in evaluation.average_precision.items():
        row |= {f"coco_ap-{name}": precision.coco_ap, f"coco_ap50-{name}": precision.coco_ap50}
    return row


def _line(report: StepReport, evaluation: Evaluation) -> str:
    per_class = "  ".join(
        f"{name} P {score.precision:.2f} R {score.recall:.2f} "
        f"digits_map {score.digits_map:.2f} pooled_map {score.pooled_map:.2f}"
        for name, score in evaluation.classes.items()
    )
    losses = f"loss_bbox {evaluation.loss_bbox:.3f} loss_coverage {evaluation.loss_coverage:.3f}"
    return f"epoch {report.epoch:g}: {losses}  {per_class}"
