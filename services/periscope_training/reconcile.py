"""Makes the world look like the job documents: one pass looks at every job and does what is next for it.

Nothing is remembered between passes, so a pass may stop at any point and another process may make the next
one. One job's trouble does not keep the others waiting; a store that does not answer ends the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from periscope import keys
from periscope.documents import Document, DocumentMissing, Documents
from periscope.store import ObjectStore, StoreUnavailable
from periscope_training import job_document
from periscope_training.actions import (
    FINAL_STATES,
    Action,
    CloseAttempt,
    CreateRun,
    Finish,
    MarkPending,
    MarkRunning,
    MarkStalled,
    Nothing,
    OpenAttempt,
    RecordPreemptions,
    ReleaseRun,
    State,
    StopRun,
)
from periscope_training.error_report import parse_error_report
from periscope_training.job_document import CHECKPOINT_KIND, KIND, Body, Outdated, job_of
from periscope_training.launcher import Launch, Launcher, NoPlaceYet, Observation, Phase, Run, RunRefused
from periscope_training.lifecycle import MAX_INTERRUPTIONS, Job, Seen, judge_end, next_action
from periscope_training.limits import reached_limit, waited_too_long
from periscope_training.vital_signs import VitalSigns

PENDING_DEADLINE_S = 7 * 86_400.0
MAX_ACTIONS_A_PASS = 8
"""A job goes from QUEUED to its release within one pass; what then takes time waits for the next one."""

log = structlog.get_logger()


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs to know."""

    max_concurrent_jobs: int
    retry_backoff_s: float
    job_token_lifetime: timedelta
    progress_url: Callable[[str, int], str]
    """Address for an attempt's progress, of job id and attempt."""
    job_token: Callable[[str, int, datetime], str]
    """Token for an attempt's progress, of job id, attempt and its end of validity."""
    max_interruptions: int = MAX_INTERRUPTIONS
    """Times that a job may be taken away by its surroundings."""
    pending_deadline_s: float = PENDING_DEADLINE_S
    """A run that has found no place for so long is given up."""
    gpus_of: Callable[[Mapping[str, Any]], int] = lambda _: 1
    """GPUs that an attempt holds, of the job's resources."""


class Reconciler:
    """The loop's body; who calls it holds the leadership."""

    def __init__(
        self,
        documents: Documents,
        store: ObjectStore,
        launcher: Launcher,
        settings: LoopSettings,
        now: Callable[[], datetime],
        vital_signs: VitalSigns | None = None,
    ) -> None:
        self._vital_signs = vital_signs
        self._documents = documents
        self._store = store
        self._launcher = launcher
        self._settings = settings
        self._now = now

    def reconcile_all(self) -> int:
        """Look at every job once, oldest first; return how many have not ended."""
        active = self._documents.matching(KIND, lambda body: body.get("state") not in FINAL_STATES)
        busy = sum(1 for document in active if _holds_slot(document))
        for document in active:
            others = busy - _holds_slot(document)
            slot_free = busy < self._settings.max_concurrent_jobs
            try:
                busy = others + self._reconcile(document, slot_free=slot_free)
            except StoreUnavailable:
                raise
            except Exception:
                # One broken document or run must not stop the other jobs.
                log.exception("job_not_reconciled", job_id=document.id)
        return len(active)

    def sweep(self) -> None:
        """Remove runs that no open attempt knows: their job is gone or went on without them."""
        for job_id, number in self._launcher.runs():
            try:
                attempt = job_of(self._documents.get(KIND, job_id).body).open_attempt
            except DocumentMissing:
                attempt = None
            if attempt is None or attempt.number != number:
                log.warning("orphan_removed", job_id=job_id, attempt=number)
                self._launcher.delete(job_id, number)
        for job_id in self._launcher.kept_jobs():
            if self._has_ended(job_id):
                self._launcher.forget(job_id)

    def _has_ended(self, job_id: str) -> bool:
        try:
            return _has_ended(self._documents.get(KIND, job_id))
        except DocumentMissing:
            return True

    def _reconcile(self, document: Document, *, slot_free: bool) -> bool:
        """Act until there is nothing to do now; return whether the job then holds a slot."""
        document = self._enforce_limits(document)
        for _ in range(MAX_ACTIONS_A_PASS):
            job = job_of(document.body)
            seen = self._look(document.id, job, slot_free=slot_free)
            action = next_action(job, seen)
            if isinstance(action, Nothing):
                break
            log.info("job_action", job_id=document.id, action=repr(action))
            try:
                changed = self._apply(document, job, seen, action)
            except Outdated:
                changed = self._documents.get(KIND, document.id)
            if changed is None:
                break
            document = changed
        if _has_ended(document):
            self._launcher.forget(document.id)
        return _holds_slot(document)

    def _enforce_limits(self, document: Document) -> Document:
        body, now = document.body, self._now()
        if body["desired"] != "run" or _has_ended(document):
            return document
        stop = waited_too_long(body, self._settings.pending_deadline_s, now)
        if stop is None and body.get("limits"):
            wants_epochs = body["limits"].get("early_stop_epochs") is not None
            epochs = self._checkpoint(document.id)["epochs"] if wants_epochs else []
            gpus = self._settings.gpus_of(body.get("resources") or {})
            stop = reached_limit(body, epochs, gpus, now)
        if stop is None:
            return document
        log.info("limit_reached", job_id=document.id, reason=stop.reason)
        try:
            return self._change(document, lambda latest: job_document.ask_stop(latest, stop, self._now()))
        except Outdated:
            return self._documents.get(KIND, document.id)

    def _look(self, job_id: str, job: Job, *, slot_free: bool) -> Seen:
        run = _run_of(job_id, job)
        observed = None if run is None else self._launcher.observe(run)
        limit = self._settings.max_interruptions
        seen = Seen(self._now(), observed, slot_free, max_interruptions=limit)
        if _needs_checkpoint(job, observed):
            # After the run: an end that is committed between the two looks is then seen whole.
            checkpoint = self._checkpoint(job_id)
            return replace(seen, complete=checkpoint["complete"], committed_attempt=checkpoint["attempt"])
        return replace(seen, silent=self._is_silent(job_id, job, observed))

    def _is_silent(self, job_id: str, job: Job, observed: Observation | None) -> bool:
        if self._vital_signs is None or observed is None or observed.phase is not Phase.RUNNING:
            return False
        return job.state is State.RUNNING and self._vital_signs.is_silent(job_id, job.running_since)

    def _checkpoint(self, job_id: str) -> Body:
        try:
            return self._documents.get(CHECKPOINT_KIND, job_id).body
        except DocumentMissing:
            return job_document.new_checkpoint(job_id)

    def _apply(self, document: Document, job: Job, seen: Seen, action: Action) -> Document | None:
        """Do the action; return the changed document, or None when the next look must wait."""
        note = _note_of(action, self._now())
        if note is not None:
            return self._change(document, note)
        match action:
            case CreateRun(number):
                return self._create(document, job, seen, number)
            case CloseAttempt(number):
                return self._close(document, job, seen, number)
            case ReleaseRun():
                self._launcher.release(_recorded_run(document.id, job))
            case StopRun():
                self._launcher.stop(_recorded_run(document.id, job))
        return None

    def _create(self, document: Document, job: Job, seen: Seen, number: int) -> Document | None:
        until = seen.now + self._settings.job_token_lifetime
        launch = Launch(
            document.id,
            number,
            self._settings.progress_url(document.id, number),
            self._settings.job_token(document.id, number, until),
            document.body.get("resources") or {},
        )
        try:
            handle = self._launcher.create(launch)
        except NoPlaceYet as reason:
            if job.state is not State.PENDING or job.reason != str(reason):
                self._change(document, _pending(number, str(reason), seen.now))
            return None
        except RunRefused as refusal:
            ended = Observation(Phase.ENDED, started=False, message=str(refusal), refused=True)
            return self._close(document, job, replace(seen, run=ended), number)
        return self._change(document, lambda body: job_document.record_handle(body, number, handle, seen.now))

    def _close(self, document: Document, job: Job, seen: Seen, number: int) -> Document:
        run = _run_of(document.id, job)
        output = b"" if run is None else self._launcher.log(run)
        # The log is safe in the store before the launcher's copy may go.
        self._store.put(keys.attempt_log(document.id, number), output, content_type="text/plain")
        report = parse_error_report(output)
        verdict = judge_end(job, seen, report, self._settings.retry_backoff_s)
        exit_code = None if seen.run is None else seen.run.exit_code

        def change(body: Body) -> Body:
            return job_document.close_attempt(
                body, number, verdict, exit_code=exit_code, report=report, now=seen.now
            )

        changed = self._change(document, change)
        log.info(
            "attempt_ended", job_id=document.id, attempt=number, state=verdict.state, reason=verdict.reason
        )
        self._launcher.delete(document.id, number)
        return changed

    def _change(self, document: Document, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Document:
        return self._documents.update(KIND, document.id, change)


def _note_of(action: Action, now: datetime) -> Callable[[Body], Body] | None:
    """The change to the document that is all of the action, or None."""
    match action:
        case OpenAttempt(number):
            return lambda body: job_document.open_attempt(body, number, now)
        case MarkPending(number, reason):
            return _pending(number, reason, now)
        case RecordPreemptions(number, count):
            return lambda body: job_document.record_preemptions(body, number, count, now)
        case MarkStalled(number):
            return lambda body: job_document.mark_stalled(body, number, now)
        case MarkRunning(number):
            return lambda body: job_document.mark_running(body, number, now)
        case Finish(state, reason):
            return lambda body: job_document.finish(body, state, reason, now)
    return None


def _pending(number: int, reason: str, now: datetime) -> Callable[[Body], Body]:
    return lambda body: job_document.mark_pending(body, number, reason, now)


def _has_ended(document: Document) -> bool:
    return document.body.get("state") in FINAL_STATES


def _holds_slot(document: Document) -> bool:
    try:
        return job_of(document.body).open_attempt is not None
    except (KeyError, TypeError, ValueError):
        return False  # A broken document; looking at it in its turn will log what is wrong.


def _run_of(job_id: str, job: Job) -> Run | None:
    attempt = job.open_attempt
    if attempt is None or attempt.handle is None:
        return None
    return Run(job_id, attempt.number, attempt.handle)


def _recorded_run(job_id: str, job: Job) -> Run:
    run = _run_of(job_id, job)
    if run is None:
        raise Outdated
    return run


def _needs_checkpoint(job: Job, observed: Observation | None) -> bool:
    if job.open_attempt is None:
        return bool(job.attempts)
    return observed is None or observed.phase is Phase.ENDED
