"""The training program's one edge to the platform: what a training Job runs.

``python -m detectnet_trainer job --job <id> --attempt <n>`` with the store's variables in the environment.
It reads the job's spec, goes on from the last committed checkpoint, and at each validation commits files
and figures by one conditional write on the job's checkpoint document. An older attempt fails that write.
With several GPUs, or ``PERISCOPE_TRAINER_RANKS`` of 2 and more, it starts that many processes by torchrun;
the first of them does all that is said above, the others compute.

Exit codes: 0 complete, 64 bad arguments, 65 bad data, 66 spec or dataset missing, 73 superseded by a newer
attempt, 75 the store stayed away (try again), 78 bad configuration, 143 checkpointed on SIGTERM. Any other
one is worth a retry. The last line on standard error before a non-zero exit is one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from detectnet.learning_rate import BadPolicy
from detectnet.samples import BadData
from detectnet.sizes import IllegalSize
from detectnet_trainer.checkpoint import BadCheckpoint, restore_checkpoint
from detectnet_trainer.diagnosis import Diagnosis
from detectnet_trainer.engine import NotFinite, StepReport
from detectnet_trainer.evaluate import Evaluation, evaluate
from detectnet_trainer.job_commit import Commits, Superseded
from detectnet_trainer.job_data import fetch_splits, fetch_weights, load_spec
from detectnet_trainer.job_progress import ProgressReporter
from detectnet_trainer.ranks import Place, note_end, note_start, run_ranks
from detectnet_trainer.session import Session, start_session
from detectnet_trainer.solver import UnknownSolver
from detectnet_trainer.world import World, join_world, leave_world
from periscope.documents import DocumentMissing
from periscope.ids import is_id
from periscope.s3 import S3Store
from periscope.settings import SettingsError, required, whole_number
from periscope.store import ObjectMissing, ObjectStore, StoreUnavailable

COMPLETE, BAD_ARGUMENTS, BAD_DATA, MISSING, SUPERSEDED, TRY_AGAIN, BAD_CONFIGURATION, ON_TERM = (
    0, 64, 65, 66, 73, 75, 78, 143,
)  # fmt: skip
INTERNAL = 70
MAX_RANKS = 64


class BadArguments(ValueError):
    """The command line asks for no job or attempt that can exist."""


_FAILURES: tuple[tuple[tuple[type[Exception], ...], int, str, str], ...] = (
    ((BadArguments,), BAD_ARGUMENTS, "bad_arguments", "give --job a job's id and --attempt a number from 1"),
    ((BadData,), BAD_DATA, "bad_data", "mend the file that is named, upload a new version and start again"),
    ((NotFinite,), BAD_DATA, "not_finite", "start again with a lower learning rate"),
    (
        (ObjectMissing, DocumentMissing),
        MISSING,
        "missing",
        "check that the job and its dataset version still exist",
    ),
    ((Superseded,), SUPERSEDED, "superseded", "nothing: a newer attempt of this job goes on"),
    ((StoreUnavailable,), TRY_AGAIN, "store_unavailable", "check the object store; the job is tried again"),
    (
        (SettingsError, IllegalSize, BadPolicy, UnknownSolver, BadCheckpoint, ValueError, KeyError),
        BAD_CONFIGURATION,
        "bad_configuration",
        "mend the option that is named and start a new job",
    ),
)


def run_job(job_id: str, attempt: int, environ: Mapping[str, str] = os.environ) -> int:
    """Train as the job's spec says; return the exit code. Never raises for what can be foreseen."""
    return report_failures(lambda: _run(job_id, attempt, environ))


def run_rank(job_id: str, attempt: int, environ: Mapping[str, str] = os.environ) -> int:
    """One of several processes of a job, as torchrun starts it; leaves its exit code in a file."""

    def run() -> int:
        world = join_world(environ)
        code = train(S3Store.from_environ(environ), job_id, attempt, environ, world)
        leave_world(world)
        return code

    note_start(environ)
    code = report_failures(run)
    note_end(code, environ)
    return code


def _run(job_id: str, attempt: int, environ: Mapping[str, str]) -> int:
    ranks, place = _rank_count(environ), _place(environ)
    if ranks == 1 and place.nodes == 1:
        return train(S3Store.from_environ(environ), job_id, attempt, environ)
    work_dir = Path(required(environ, "PERISCOPE_WORK_DIR")) / "jobs" / _checked_id(job_id, attempt)
    _say(f"training in {ranks} processes on this machine")
    return run_ranks(["rank", "--job", job_id, "--attempt", str(attempt)], ranks, place, work_dir, environ)


def _place(environ: Mapping[str, str]) -> Place:
    """What the launcher gives to trainings on several machines; one machine where it gives none."""
    nodes = whole_number(environ, "PERISCOPE_TRAINER_NODES", 1)
    if nodes == 1:
        return Place()
    return Place(
        nodes, int(required(environ, "PERISCOPE_NODE_RANK")), required(environ, "PERISCOPE_FIRST_NODE")
    )


def _rank_count(environ: Mapping[str, str]) -> int:
    given = environ.get("PERISCOPE_TRAINER_RANKS")
    if not given:
        return max(torch.cuda.device_count(), 1)
    if not given.isdigit() or not 1 <= int(given) <= MAX_RANKS:
        raise SettingsError(f"PERISCOPE_TRAINER_RANKS must be a number from 1 to {MAX_RANKS}, not {given!r}")
    return int(given)


def _checked_id(job_id: str, attempt: int) -> str:
    if not is_id(job_id) or attempt < 1:
        raise BadArguments(f"there is no attempt {attempt} of a job {job_id!r}")
    return job_id


def report_failures(run: Callable[[], int]) -> int:
    """Run; turn what is raised into an exit code and one line of JSON on standard error."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - the process's edge: every failure becomes an exit code
        for types, status, code, advice in _FAILURES:
            if isinstance(error, types):
                if type(error) in (ValueError, KeyError):
                    traceback.print_exc()  # These may also be a mistake of this program.
                _report_failure(str(error), code, advice)
                return status
        traceback.print_exc()
        _report_failure(f"{type(error).__name__}: {error}", "internal", "see the log; the job is tried again")
        return INTERNAL


def train(
    store: ObjectStore, job_id: str, attempt: int, environ: Mapping[str, str], world: World | None = None
) -> int:
    """The job itself. Raises what ``report_failures`` turns into exit codes."""
    world = world or World()
    term = _TermFlag()
    work_dir = Path(required(environ, "PERISCOPE_WORK_DIR")) / "jobs" / _checked_id(job_id, attempt)
    work_dir.mkdir(parents=True, exist_ok=True)
    spec = load_spec(store, job_id)
    commits = Commits(store, job_id, attempt)
    if world.is_first:
        commits.claim()
        _say("reading the dataset")
    if world.local_rank == 0:
        splits = fetch_splits(store, spec, work_dir, attempt)
    world.wait()
    if world.local_rank != 0:
        # From the cache of the machine's first one.
        splits = fetch_splits(store, spec, work_dir / f"rank-{world.local_rank}", attempt, cache=work_dir)
    if _asked_to_end(term, world):
        _say("SIGTERM: nothing to save yet")
        return ON_TERM
    weights = fetch_weights(store, spec)
    session = start_session(*splits, tuple(spec["network"]["classes"]), spec["training"], world, weights)
    if (checkpoint := commits.fetch_latest()) is not None:
        session.warnings += restore_checkpoint(session.trainer, session.training, checkpoint)
        _say(f"going on after step {session.trainer.step} of {session.trainer.plan.max_step}")
    world.wait()
    for line in [*session.notes, *(f"WARNING: {warning}" for warning in session.warnings)]:
        _say(line)
    url = environ.get("PERISCOPE_PROGRESS_URL") if world.is_first else None
    reporter = ProgressReporter(url, environ.get("PERISCOPE_PROGRESS_TOKEN", ""), session.trainer)
    loop = _Loop(session, commits, reporter, term, spec["network"])
    session.trainer.run(loop.after_step)
    if loop.stopped:
        _say("SIGTERM: the checkpoint is saved")
        return ON_TERM
    reporter.close()
    _say("complete")
    return COMPLETE


def _asked_to_end(term: _TermFlag, world: World) -> bool:
    """Whether SIGTERM came to any of the processes: all must answer alike."""
    return (
        world.sum([float(term.is_set)], torch.device("cuda" if torch.cuda.is_available() else "cpu"))[0] > 0
    )


class _Loop:
    """What happens between the steps: curves, validation, commits, SIGTERM."""

    def __init__(
        self,
        session: Session,
        commits: Commits,
        reporter: ProgressReporter,
        term: _TermFlag,
        network: Mapping[str, Any],
    ) -> None:
        self.stopped = False
        self._session = session
        self._commits = commits
        self._reporter = reporter
        self._term = term
        self._network = network
        self._diagnosis = Diagnosis(session)
        self._since_validation: list[StepReport] = []

    def after_step(self, report: StepReport) -> bool:
        """Validate and commit where the plan says so; False on SIGTERM."""
        trainer = self._session.trainer
        plan, is_first = trainer.plan, trainer.world.is_first
        self._since_validation.append(report)
        if plan.validates_at(report.step) and is_first:
            self._validate(report)
        elif report.step % plan.display_interval == 0:
            self._reporter.post(report, None)
        if _asked_to_end(self._term, trainer.world) and report.step < plan.max_step:
            if not plan.validates_at(report.step) and is_first:
                self._commits.save_position(self._session)
            self.stopped = True
            return False
        return True

    def _validate(self, report: StepReport) -> None:
        session = self._session
        started = time.monotonic()
        evaluation = evaluate(
            session.trainer.model,
            session.validation,
            session.names,
            session.device,
            session.training["val_batch_size"],
        )
        session.trainer.require_finite(evaluation.loss_bbox, evaluation.loss_coverage)
        findings = self._diagnosis.examine(evaluation, report.epoch, report.step)
        metrics = _metrics(self._since_validation, evaluation)
        metrics["doctor"] = [finding.as_dict() for finding in findings]
        self._since_validation = []
        self._commits.commit_epoch(session, self._network, metrics)
        self._reporter.post(report, evaluation.as_dict())
        _say(_summary(report, session, evaluation, time.monotonic() - started))
        for finding in findings:
            _say(f"WARNING: {finding}")


class _TermFlag:
    """Remembers that SIGTERM came; the loop looks at it between steps."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_set = True


def _metrics(reports: list[StepReport], evaluation: Evaluation) -> dict[str, Any]:
    """An epoch's record: training figures are means since the validation before."""
    names = ("images_per_second", "loss_bbox", "loss_coverage")
    means = {name: sum(getattr(report, name) for report in reports) / len(reports) for name in names}
    return {
        "learning_rate": reports[-1].learning_rate,
        "images_per_second": means.pop("images_per_second"),
        "train": means,
        "val": evaluation.as_dict(),
        "all_zero_coverage_loss": evaluation.all_zero_coverage_loss,
    }


def _summary(report: StepReport, session: Session, evaluation: Evaluation, seconds: float) -> str:
    figures = "  ".join(
        f"{name}: precision {score.precision:.2f} recall {score.recall:.2f} digits_map {score.digits_map:.2f}"
        for name, score in evaluation.classes.items()
    )
    return (
        f"epoch {report.epoch:g} of {session.trainer.plan.epochs}, step {report.step}: "
        f"loss_bbox {evaluation.loss_bbox:.3f} loss_coverage {evaluation.loss_coverage:.3f} (validation)  "
        f"{figures}  [validated and committed in {seconds:.1f} s]"
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _report_failure(error: str, code: str, advice: str) -> None:
    print(json.dumps({"error": error, "code": code, "advice": advice}), file=sys.stderr, flush=True)
