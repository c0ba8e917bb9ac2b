"""``periscope train``: options by flags, a file, a prototxt, or like an earlier job."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from periscope_cli.command import examples, session_of
from periscope_cli.failures import USAGE, CommandFailed
from periscope_cli.job_texts import best_text, plan_text
from periscope_cli.parsing import Size, count, pairs, size, typed
from periscope_cli.session import Session
from periscope_cli.training_wish import Wish, merged, options_of, read_prototxt, read_wish
from periscope_cli.watching import watch_job

EXAMPLES = examples(
    "periscope train first-try --dataset dive-12 --size 640x480 --epochs 30 --wait",
    "periscope train second --like first-try --learning-rate 2e-4",
    "periscope train mine --config options.yaml --option augmentation.flip_prob=0.5",
    "periscope train club --dataset dive-12 --from-prototxt detectnet.prototxt --recipe digits",
)


Count = Annotated[int | None, typer.Option(metavar="N", parser=typed(count))]
Whole = Annotated[int | None, typer.Option(metavar="N")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML with the fields of a job request; flags win.")
]
FromPrototxt = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A DetectNet prototxt: its sizes, batches, augmentation.")
]
Like = Annotated[
    str | None, typer.Option(metavar="JOB", help="All as in this job, but for what is given here.")
]
InputSize = Annotated[
    Size | None, typer.Option(metavar="WxH", parser=typed(size), help="Network input, multiples of 16.")
]
DatasetVersion = Annotated[
    int | None, typer.Option(metavar="N", parser=typed(count), help="Default: the newest.")
]
Solver = Annotated[str | None, typer.Option(help="sgd, nesterov, adagrad, rmsprop, adadelta or adam.")]
Pretrained = Annotated[
    str | None, typer.Option(metavar="NAME", help="Begin with this pretrained model's weights.")
]
Gpus = Annotated[int | None, typer.Option(metavar="N", help="0 trains on the CPU.")]
Other = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Any other option of docs/options.md. May be repeated."),
]
Labels = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")]
EarlyStop = Annotated[
    float | None, typer.Option(metavar="EPOCHS", help="End once mAP has not risen for so many.")
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE", help="Train in spite of this error of the lint. May be repeated."),
]


def train_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    dataset: Annotated[str | None, typer.Option(help="Name or id.")] = None,
    dataset_version: DatasetVersion = None,
    config: Config = None,
    from_prototxt: FromPrototxt = None,
    like: Like = None,
    size: InputSize = None,
    recipe: Annotated[str | None, typer.Option(help="default or digits.")] = None,
    epochs: Count = None,
    batch_size: Count = None,
    solver: Solver = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="X")] = None,
    seed: Whole = None,
    pretrained: Pretrained = None,
    gpus: Gpus = None,
    option: Other = None,
    group: Annotated[str | None, typer.Option(help="Jobs that belong together.")] = None,
    label: Labels = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    deadline: Annotated[datetime | None, typer.Option(help="A job still at work then is ended.")] = None,
    early_stop: EarlyStop = None,
    allow_finding: Allowed = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would run.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until the job has ended.")] = False,
) -> None:
    """Start a training job."""
    session = session_of(ctx)
    flags = {
        "name": name, "dataset": dataset, "dataset_version": dataset_version,
        "input": None if size is None else size.document(), "recipe": recipe, "epochs": epochs,
        "batch_size": batch_size, "solver": solver, "learning_rate": learning_rate, "seed": seed,
        "pretrained": pretrained, "group": group, "notes": notes, "labels": pairs(label) or None,
        "resources": None if gpus is None else {"gpus": gpus}, "allow_findings": allow_finding,
        "limits": _limits(deadline, early_stop),
    }  # fmt: skip
    wish = merged(
        read_wish(config) if config else {},
        read_prototxt(from_prototxt) if from_prototxt else {},
        options_of(pairs(option)),
        flags,
    )
    if like is None and "dataset" not in wish:
        raise CommandFailed("name the data set: --dataset NAME (or --like JOB)", USAGE)
    if dry_run:
        _plan(session, wish, like)
        return
    _start(session, wish, like, wait=wait)


def _limits(deadline: datetime | None, early_stop: float | None) -> Wish | None:
    told = {
        "deadline": None if deadline is None else deadline.astimezone().isoformat(),
        "early_stop_epochs": early_stop,
    }
    return {key: value for key, value in told.items() if value is not None} or None


def _plan(session: Session, wish: Wish, like: str | None) -> None:
    if like is not None:
        request: dict[str, Any] = session.api.jobs.get(like).request
        wish = merged(request, wish)
    plan = session.api.jobs.plan(wish).model_dump(mode="json")
    session.console.result(plan, plan_text(plan))


def _start(session: Session, wish: Wish, like: str | None, *, wait: bool) -> None:
    if like is None:
        job = session.api.jobs.create(wish)
    else:
        made = session.api.jobs.clone(like, wish)
        job = made.job
        for change in made.differences:
            session.console.note(f"  {change.field}: {change.before} -> {change.after}")
    if wait:
        session.console.note(f"job {job.name} ({job.id})")
        ended = watch_job(session, job.id)
        session.console.result(ended, f"{ended['id']}  {best_text(ended)}")
        return
    for warning in job.warnings:
        session.console.note(f"warning: {warning}")
    session.console.result(job.model_dump(mode="json"), job.id)
    session.console.note(f"watch it: periscope watch {job.id}")
