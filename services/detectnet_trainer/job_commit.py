"""Commits a job's progress to the store: files first, then one conditional write that makes them count."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from detectnet_trainer.checkpoint import dump_checkpoint
from detectnet_trainer.export import export_snapshot, parity_file
from detectnet_trainer.session import Session
from periscope import keys
from periscope.documents import Body, Documents
from periscope.store import ObjectStore, StoreUnavailable

KIND = "checkpoints"
CHECKPOINT = "checkpoint.pt"
KEPT_CHECKPOINTS = 2
PATIENCE_S = 600.0
"""How long the store may stay away before the attempt gives up."""
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 20.0

Result = TypeVar("Result")


class Superseded(Exception):
    """A newer attempt or process of the job is under way; what this one does no longer counts."""


class Commits:
    """The checkpoint document of one job as one process of one attempt sees it.

    A cluster may start an attempt's program again while the first process lives on, out of reach. So each
    process claims the document under a word of its own; the newest claim is the one that may commit.
    """

    def __init__(self, store: ObjectStore, job_id: str, attempt: int, patience_s: float = PATIENCE_S) -> None:
        self._store = store
        self._documents = Documents(store)
        self._job_id = job_id
        self._attempt = attempt
        self._patience_s = patience_s
        self._word = secrets.token_hex(4)

    def claim(self) -> None:
        """Shut out older attempts and processes. Raises Superseded when a newer attempt is under way."""
        self._change(lambda body: body, takes_over=True)

    def fetch_latest(self) -> bytes | None:
        """The newest committed checkpoint, or None before the first."""
        body = patiently(lambda: self._documents.get(KIND, self._job_id), self._patience_s).body
        if body["latest"] is None:
            return None
        file = body["latest"]["file"]
        return patiently(lambda: self._fetch(file["key"], file["sha256"]), self._patience_s)

    def commit_epoch(self, session: Session, network: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        """Store the snapshot, its proof and the checkpoint, then make them count together."""
        trainer, step = session.trainer, session.trainer.step
        size, mean = (network["width"], network["height"]), trainer.mean
        snapshot = export_snapshot(trainer.model, step, *size, mean)
        contents = snapshot.files | {"parity.npz": parity_file(trainer.model, session.validation.split, mean)}
        files = {name: self._put(step, name, content) for name, content in contents.items()}
        files[CHECKPOINT] = self._put_checkpoint(session)
        epoch = {
            "epoch": round(trainer.plan.epoch_of(step), 3),
            "step": step,
            "attempt": self._attempt,
            "files": {name: file for name, file in files.items() if name != CHECKPOINT},
            "metrics": dict(metrics),
        }

        def append(body: Body) -> Body:
            earlier = [entry for entry in body["epochs"] if entry["step"] < step]
            return body | {
                "epochs": [*earlier, epoch],
                "latest": self._position(session, files[CHECKPOINT]),
                "checkpoints": [*body.get("checkpoints", []), files[CHECKPOINT]["key"]],
                "complete": step == trainer.plan.max_step,
            }

        self._drop_old(self._change(append))

    def save_position(self, session: Session) -> None:
        """Commit where the training stands, between validations."""
        file = self._put_checkpoint(session)
        body = self._change(
            lambda body: (
                body
                | {
                    "latest": self._position(session, file),
                    "checkpoints": [*body.get("checkpoints", []), file["key"]],
                }
            )
        )
        self._drop_old(body)

    def _position(self, session: Session, file: Mapping[str, Any]) -> dict[str, Any]:
        step = session.trainer.step
        return {"step": step, "epoch": round(session.trainer.plan.epoch_of(step), 3), "file": dict(file)}

    def _put_checkpoint(self, session: Session) -> dict[str, Any]:
        return self._put(session.trainer.step, CHECKPOINT, dump_checkpoint(session.trainer, session.training))

    def _put(self, step: int, name: str, content: bytes) -> dict[str, Any]:
        key = keys.attempt_epoch_file(self._job_id, self._attempt, step, name, self._word)
        patiently(lambda: self._store.put(key, content), self._patience_s)
        return {"key": key, "sha256": _sha256(content), "size_bytes": len(content)}

    def _drop_old(self, body: Body) -> None:
        """Remove all but the newest checkpoints; a failure only costs space."""
        written = list(dict.fromkeys(body["checkpoints"]))
        kept = written[-KEPT_CHECKPOINTS:]
        try:
            for key in written[:-KEPT_CHECKPOINTS]:
                self._store.delete(key)
        except StoreUnavailable:
            return
        if kept != body["checkpoints"]:
            self._change(lambda latest: latest | {"checkpoints": kept})

    def _change(self, change: Callable[[Body], Body], *, takes_over: bool = False) -> Body:
        def guarded(body: Body) -> Body:
            if body["attempt"] > self._attempt:
                raise Superseded(f"attempt {body['attempt']} has taken over from attempt {self._attempt}")
            claimed = body.get("claim") if body["attempt"] == self._attempt else None
            if not takes_over and claimed not in (None, self._word):
                raise Superseded(f"another process of attempt {self._attempt} has taken over from this one")
            return change(body) | {"attempt": self._attempt, "claim": self._word}

        return patiently(lambda: self._documents.update(KIND, self._job_id, guarded), self._patience_s).body

    def _fetch(self, key: str, sha256: str) -> bytes:
        content = b"".join(self._store.iterate(key))
        if _sha256(content) != sha256:
            raise StoreUnavailable(f"{key} came damaged from the store")
        return content


def patiently(call: Callable[[], Result], patience_s: float = PATIENCE_S) -> Result:
    """Call again while the store is away, up to the patience. Raises StoreUnavailable."""
    deadline = time.monotonic() + patience_s
    backoff_s = FIRST_BACKOFF_S
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() + backoff_s > deadline:
                raise
            time.sleep(backoff_s)
            backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
