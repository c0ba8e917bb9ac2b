"""``periscope groups`` and ``periscope rollout``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from periscope_cli.command import examples, session_of
from periscope_cli.console import table
from periscope_cli.device_commands import (
    Activation,
    ActivationName,
    AliasOption,
    VersionOption,
    wish_text,
)
from periscope_cli.parsing import count, stage, typed
from periscope_cli.session import Session

groups = typer.Typer(
    help="Groups of robots, and what each should have; `fleet` is everybody else.",
    invoke_without_command=True,
)
rollouts = typer.Typer(no_args_is_help=True, help="Move a group to a version, stage by stage.")

Group = Annotated[str, typer.Argument(metavar="GROUP")]


@groups.callback()
def groups_callback(ctx: typer.Context) -> None:
    """Groups of robots, and what each should have; `fleet` is everybody else."""
    if ctx.invoked_subcommand is None:
        _list(session_of(ctx))


@groups.command("list")
def list_command(ctx: typer.Context) -> None:
    """All groups."""
    _list(session_of(ctx))


def _list(session: Session) -> None:
    items = [item.model_dump(mode="json") for item in session.api.groups.list()]
    rows = [
        (item["group"], item["model"], wish_text(item), (item["rollout"] or {}).get("state"))
        for item in items
    ]
    session.console.result({"items": items}, table(("GROUP", "MODEL", "WISH", "ROLLOUT"), rows))


@groups.command("set", epilog=examples("periscope groups set pool --model buoys --alias field"))
def set_command(
    ctx: typer.Context,
    group: Group,
    model: Annotated[str, typer.Option()],
    alias: AliasOption = None,
    version: VersionOption = None,
    activation: Activation = ActivationName.NOW,
) -> None:
    """Say what all robots of a group should have, at once."""
    session = session_of(ctx)
    wish = {"model": model, "alias": alias, "version": version, "activation": activation.value}
    found = session.api.groups.set(group, {key: value for key, value in wish.items() if value is not None})
    document = found.model_dump(mode="json")
    session.console.result(document, f"{group} gets {model} {wish_text(document)}")


@groups.command("remove")
def remove_command(ctx: typer.Context, group: Group) -> None:
    """Forget a group; refused while robots are in it."""
    session = session_of(ctx)
    session.api.groups.delete(group)
    session.console.result({"group": group, "removed": True}, f"{group} is forgotten")


@rollouts.command(
    "start",
    epilog=examples(
        "periscope rollout start pool 7 --stage sub-2 --stage 25% --stage 100%",
        "periscope rollout start fleet 7 --stage 10% --max-failed 0.1",
    ),
)
def start_command(
    ctx: typer.Context,
    group: Group,
    version: Annotated[int, typer.Argument(metavar="N", parser=typed(count), help="Number of the version.")],
    stages: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="WHO",
            help="10%, or robots as sub-1,sub-2, or both; repeat it. All others come last by themselves.",
        ),
    ] = None,
    min_confirmed: Annotated[
        float, typer.Option(metavar="X", help="Share that lets the next stage begin, 0-1.")
    ] = 1.0,
    max_failed: Annotated[
        float, typer.Option(metavar="X", help="A larger share pauses the rollout, 0-1.")
    ] = 0.0,
    activation: Activation = ActivationName.NOW,
) -> None:
    """Begin a rollout."""
    session = session_of(ctx)
    plan = [typed(stage)(text) for text in stages or []]
    if not plan or plan[-1]["percent"] < EVERYBODY:
        plan.append({"devices": [], "percent": EVERYBODY})
    found = session.api.groups.roll_out(
        group,
        version,
        plan,
        min_confirmed_ratio=min_confirmed,
        max_failed_ratio=max_failed,
        activation=activation.value,
    )
    _tell(session, found.model_dump(mode="json"))


@rollouts.command("show")
def show_command(ctx: typer.Context, group: Group) -> None:
    """How a group's newest rollout stands."""
    session = session_of(ctx)
    _tell(session, session.api.groups.get(group).model_dump(mode="json"))


@rollouts.command("pause")
def pause_command(ctx: typer.Context, group: Group) -> None:
    """No further robot gets the version."""
    _act(ctx, group, "pause")


@rollouts.command("resume")
def resume_command(ctx: typer.Context, group: Group) -> None:
    """Go on; failures so far no longer count."""
    _act(ctx, group, "resume")


@rollouts.command("abort")
def abort_command(ctx: typer.Context, group: Group) -> None:
    """End it; robots go back to the group's wish."""
    _act(ctx, group, "abort")


@rollouts.command("rollback")
def roll_back_command(ctx: typer.Context, group: Group) -> None:
    """All robots go back, after success too."""
    _act(ctx, group, "rollback")


EVERYBODY = 100.0


def _act(ctx: typer.Context, group: str, action: Literal["pause", "resume", "abort", "rollback"]) -> None:
    session = session_of(ctx)
    _tell(session, session.api.groups.act(group, action).model_dump(mode="json"))


def _tell(session: Session, group: dict[str, Any]) -> None:
    rollout = group["rollout"]
    if rollout is None:
        session.console.result(group, f"{group['group']} has had no rollout")
        return
    chosen = ", ".join(rollout["chosen"]) or "nobody yet"
    lines = [
        f"{group['group']}: {group['model']} version {rollout['version']} {rollout['state'].lower()}  "
        f"{rollout['reason']}".rstrip(),
        f"stage {rollout['stage'] + 1} of {len(rollout['stages'])}: {chosen}",
    ]
    session.console.result(group, "\n".join(lines))
