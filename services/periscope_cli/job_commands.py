"""``periscope jobs``, ``watch``, ``logs``, ``predict`` and ``publish``."""

from __future__ import annotations

import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from periscope_cli.command import examples, session_of
from periscope_cli.failures import FAILED, USAGE, CommandFailed, interruptible
from periscope_cli.job_texts import best_text, job_text, jobs_table, prediction_text, publication_text
from periscope_cli.live_curves import watch_curves
from periscope_cli.parsing import count, typed
from periscope_cli.session import Session
from periscope_cli.watching import watch_job, watch_publication

jobs = typer.Typer(help="List jobs; show, steer and remove them.", invoke_without_command=True)

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id, or name (the newest of that name).")]
EpochOption = Annotated[str, typer.Option("--epoch", metavar="best|latest|N", help="Which epoch.")]


class DecoderName(StrEnum):
    """Whose rules make boxes of the grids."""

    DIGITS = "digits"
    JETSON_CAFFE = "jetson-caffe"
    JETSON_ONNX = "jetson-onnx"


@jobs.callback()
def jobs_callback(ctx: typer.Context) -> None:
    """List jobs; show, steer and remove them."""
    if ctx.invoked_subcommand is None:
        _list(session_of(ctx))


@jobs.command("list")
def list_command(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="RUNNING, say.")] = None,
    name: Annotated[str | None, typer.Option(help="Jobs of this name.")] = None,
    group: Annotated[str | None, typer.Option(help="Jobs of this group.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Jobs on this dataset.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
) -> None:
    """All jobs, or those that fit."""
    _list(session_of(ctx), state=state, name=name, group=group, dataset=dataset, label=label)


def _list(session: Session, **filters: Any) -> None:
    items = [item.model_dump(mode="json") for item in session.api.jobs.list(**filters)]
    session.console.result({"items": items}, jobs_table(items))


@jobs.command("show")
def show_command(ctx: typer.Context, job: Job) -> None:
    """One job."""
    session = session_of(ctx)
    found = session.api.jobs.get(job).model_dump(mode="json")
    session.console.result(found, job_text(found))


@jobs.command("wait")
def wait_command(ctx: typer.Context, job: Job) -> None:
    """Show progress, a line for each epoch, until the job has ended."""
    session = session_of(ctx)
    ended = watch_job(session, session.api.jobs.find(job))
    session.console.result(ended, f"{ended['id']}  {best_text(ended)}")


@jobs.command("cancel")
def cancel_command(ctx: typer.Context, job: Job) -> None:
    """End a job; its epochs stay."""
    _act(session_of(ctx), job, "cancel", "will be cancelled")


@jobs.command("pause")
def pause_command(ctx: typer.Context, job: Job) -> None:
    """Set a job aside after its next checkpoint."""
    _act(session_of(ctx), job, "pause", "will be paused")


@jobs.command("resume")
def resume_command(ctx: typer.Context, job: Job) -> None:
    """Go on with a paused job."""
    _act(session_of(ctx), job, "resume", "will go on")


def _act(session: Session, job: str, action: Literal["cancel", "pause", "resume"], told: str) -> None:
    found = session.api.jobs.act(job, action)
    session.console.result(found.model_dump(mode="json"), f"{found.id} {told}")


@jobs.command("remove")
def remove_command(ctx: typer.Context, job: Job) -> None:
    """Remove an ended job with all its epochs."""
    session = session_of(ctx)
    job_id = session.api.jobs.find(job)
    session.api.jobs.delete(job_id)
    session.console.result({"id": job_id, "removed": True}, f"{job_id} is removed")


@jobs.command("log")
def log_command(ctx: typer.Context, job: Job) -> None:
    """What the training program printed."""
    _log(session_of(ctx), job, None)


def logs_command(
    ctx: typer.Context,
    job: Job,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job has ended.")] = False,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", parser=typed(count), help="Default: the newest.")
    ] = None,
) -> None:
    """What the training program prints."""
    session = session_of(ctx)
    if not follow:
        _log(session, job, attempt)
        return
    if session.console.as_json:
        raise CommandFailed("a log that goes on is no JSON document; leave --json or --follow out", USAGE)
    with interruptible("the job goes on"):
        for piece in session.api.jobs.follow_log(job, attempt, session.console.note):
            session.console.stream(piece)


def _log(session: Session, job: str, attempt: int | None) -> None:
    job_id = session.api.jobs.find(job)
    text = session.api.jobs.log(job_id, attempt)
    session.console.result({"job_id": job_id, "log": text}, text.rstrip("\n"))


def watch_command(
    ctx: typer.Context,
    job: Job,
) -> None:
    """Live curves of a job in the terminal, until it has ended; elsewhere a line for each epoch."""
    session = session_of(ctx)
    job_id = session.api.jobs.find(job)
    draws = sys.stderr.isatty() and not session.console.quiet
    ended = watch_curves(session, job_id) if draws else watch_job(session, job_id)
    session.console.result(ended, f"{ended['id']}  {best_text(ended)}")


PREDICT_EXAMPLES = examples(
    "periscope predict first-try dive.jpg",
    "periscope predict first-try *.jpg --epoch 12 --decoder jetson-caffe -o found",
)


def predict_command(
    ctx: typer.Context,
    job: Job,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    epoch: EpochOption = "best",
    decoder: Annotated[DecoderName, typer.Option(help="Whose rules make boxes.")] = DecoderName.DIGITS,
    threshold: Annotated[
        float | None, typer.Option(metavar="X", help="Coverage that a cell needs, 0-1.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where pictures with boxes go.")
    ] = Path(),
) -> None:
    """Find objects in pictures: boxes in pixels, and NAME.boxes.png with them drawn."""
    session = session_of(ctx)
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise CommandFailed(f"no such picture: {', '.join(missing)}", USAGE)
    _require_own_names(images)
    options = {} if threshold is None else {"threshold": threshold}
    job_id = session.api.jobs.find(job)
    found, texts = [], []
    for image in images:
        prediction = session.api.jobs.predict(job_id, image, epoch, decoder.value, **options)
        drawn = session.api.jobs.draw(job_id, image, epoch, decoder.value, **options)
        written = _write(output / f"{image.stem}.boxes.png", drawn)
        document = prediction.model_dump(mode="json")
        found.append({"file": str(image), "drawn": str(written), **document})
        texts.append(prediction_text(str(image), document, str(written)))
    session.console.result({"items": found}, "\n".join(texts))


def _require_own_names(images: list[Path]) -> None:
    twice = sorted(stem for stem, times in Counter(image.stem for image in images).items() if times > 1)
    if twice:
        names = ", ".join(f"{stem}.boxes.png" for stem in twice)
        raise CommandFailed(
            f"several pictures would become {names}; call once for each, with another -o", USAGE
        )


def _write(path: Path, content: bytes) -> Path:
    draft = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error}", FAILED) from error
    return path


def publish_command(
    ctx: typer.Context,
    job: Job,
    model: Annotated[str, typer.Option(help="Made when it does not exist.")],
    epoch: EpochOption = "best",
    alias: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="May be repeated; default: latest.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the version is there.")] = False,
) -> None:
    """Publish an epoch as a new version of a model."""
    session = session_of(ctx)
    begun = session.api.jobs.publish(job, model, epoch, tuple(alias or ["latest"]))
    if not wait:
        session.console.result(begun.model_dump(mode="json"), begun.id)
        return
    publication = watch_publication(session, begun.id)
    session.console.result(publication, publication_text(publication))
