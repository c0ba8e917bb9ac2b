"""What one process of the training service needs to know, read from the environment once at start."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from periscope.settings import SettingsError, required, whole_number
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.lifecycle import MAX_INTERRUPTIONS

DEFAULT_TRAINER_COMMAND = (sys.executable, "-m", "detectnet_trainer")


@dataclass(frozen=True)
class Settings:
    """The training service's own settings; the store's are read by its adapter."""

    work_dir: Path
    """Local scratch: logs of running attempts, the trainer's cache, zips being made. One service a folder."""

    dataset_url: str
    """Where this service reads dataset versions."""

    registry_url: str
    """Where this service publishes models."""

    own_url: str
    """Where the training program reaches this service."""

    service_token: str
    """Bearer token for the dataset service and the registry."""

    job_token_secret: str
    """Key of the tokens that attempts report progress with; the same on all replicas."""

    admin_token: str | None
    """A token that is an administrator's without being stored."""

    trainer_command: tuple[str, ...] = DEFAULT_TRAINER_COMMAND
    """The training program; the attempt's arguments are appended."""

    trainer_threads: int = 1
    """Threads of a job that asks for none; part of its spec, as another number gives other weights."""

    max_concurrent_jobs: int = 1
    """Attempts at a time; further jobs wait in the order they came."""

    stop_grace_s: int = 60
    """From SIGTERM to SIGKILL; must be enough for a checkpoint and its upload."""

    retry_backoff_s: float = 10.0
    """Before the first retry of an attempt or a publication; doubled for each further one."""

    lease_ttl_s: int = 15
    """After this time without a sign of life, another replica leads."""

    silent_after_s: float = 1800.0
    """A running attempt that reports and commits nothing for so long is stopped and tried again."""

    pending_deadline_s: int = 604_800
    """A Job that finds no place on the cluster for so long (a week) fails, with what it waited for."""

    poll_s: float = 0.5
    """Between looks at running attempts."""

    kubernetes: KubernetesSettings | None = None
    """How training Jobs look; None starts trainings as processes on this machine."""

    @property
    def max_interruptions(self) -> int:
        """Times that a job may be taken away by its surroundings."""
        return MAX_INTERRUPTIONS if self.kubernetes is None else self.kubernetes.max_preemptions

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raise SettingsError naming the variable that is missing or makes no sense."""
        launcher = environ.get("PERISCOPE_LAUNCHER", "process")
        if launcher not in ("process", "kubernetes"):
            raise SettingsError("PERISCOPE_LAUNCHER must be process or kubernetes")
        command = tuple(shlex.split(environ.get("PERISCOPE_TRAINER_COMMAND", "")))
        return cls(
            work_dir=Path(required(environ, "PERISCOPE_WORK_DIR")).absolute(),
            dataset_url=required(environ, "PERISCOPE_DATASET_URL"),
            registry_url=required(environ, "PERISCOPE_REGISTRY_URL"),
            own_url=required(environ, "PERISCOPE_TRAINING_URL").rstrip("/"),
            service_token=required(environ, "PERISCOPE_SERVICE_TOKEN"),
            job_token_secret=required(environ, "PERISCOPE_JOB_TOKEN_SECRET"),
            admin_token=environ.get("PERISCOPE_ADMIN_TOKEN") or None,
            trainer_command=command or DEFAULT_TRAINER_COMMAND,
            trainer_threads=whole_number(environ, "PERISCOPE_TRAINER_THREADS", len(os.sched_getaffinity(0))),
            max_concurrent_jobs=whole_number(
                environ, "PERISCOPE_MAX_CONCURRENT_JOBS", cls.max_concurrent_jobs
            ),
            stop_grace_s=whole_number(environ, "PERISCOPE_STOP_GRACE_S", cls.stop_grace_s),
            retry_backoff_s=_seconds(environ, "PERISCOPE_RETRY_BACKOFF_S", cls.retry_backoff_s),
            lease_ttl_s=whole_number(environ, "PERISCOPE_LEASE_TTL_S", cls.lease_ttl_s),
            silent_after_s=_seconds(environ, "PERISCOPE_SILENT_AFTER_S", cls.silent_after_s),
            pending_deadline_s=whole_number(environ, "PERISCOPE_PENDING_DEADLINE_S", cls.pending_deadline_s),
            poll_s=_seconds(environ, "PERISCOPE_POLL_S", cls.poll_s),
            kubernetes=KubernetesSettings.from_environ(environ) if launcher == "kubernetes" else None,
        )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        seconds = float(text) if text else default
    except ValueError as error:
        raise SettingsError(f"{name} must be a number of seconds, not {text!r}") from error
    if not 0 < seconds < 86_400:
        raise SettingsError(f"{name} must be above 0 and below a day, not {text!r}")
    return seconds
