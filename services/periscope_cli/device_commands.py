"""``periscope devices`` and ``periscope tokens``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from periscope_cli.command import examples, session_of
from periscope_cli.console import table
from periscope_cli.failures import USAGE, CommandFailed
from periscope_cli.parsing import count, typed
from periscope_cli.session import Session

devices = typer.Typer(
    help="List robots; say what each should have; let one enrol.", invoke_without_command=True
)
tokens = typer.Typer(help="List, create and revoke tokens (admin).", invoke_without_command=True)

Device = Annotated[str, typer.Argument(metavar="DEVICE")]
ModelOption = Annotated[str | None, typer.Option(help="Left out: what its group should have.")]
AliasOption = Annotated[str | None, typer.Option(help="Follow this alias (default: latest).")]
VersionOption = Annotated[
    int | None, typer.Option("--version", metavar="N", parser=typed(count), help="Stay on this version.")
]


class RoleName(StrEnum):
    """What a token's holder may do."""

    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"
    DEVICE = "device"


class ActivationName(StrEnum):
    """When a robot puts a new model to use."""

    NOW = "now"
    ON_BOOT = "on_boot"
    MANUAL = "manual"


Activation = Annotated[ActivationName, typer.Option(help="When a new model is put to use.")]


@devices.callback()
def devices_callback(ctx: typer.Context) -> None:
    """List robots; say what each should have; let one enrol."""
    if ctx.invoked_subcommand is None:
        _list(session_of(ctx))


@devices.command("list")
def list_command(ctx: typer.Context) -> None:
    """All robots, with the last that was heard of each."""
    _list(session_of(ctx))


def _list(session: Session) -> None:
    items = [item.model_dump(mode="json") for item in session.api.devices.list()]
    rows = [
        (
            item["device"],
            item["group"],
            item["model"],
            wish_text(item),
            (item["last_report"] or {}).get("state"),
            item["last_contact_at"],
        )
        for item in items
    ]
    header = ("DEVICE", "GROUP", "MODEL", "WISH", "LAST REPORT", "LAST CONTACT")
    session.console.result({"items": items}, table(header, rows))


def wish_text(item: dict[str, Any]) -> str:
    """A version or an alias, as people write it."""
    return f"version {item['version']}" if item["version"] is not None else f"@{item['alias']}"


@devices.command("show")
def show_command(ctx: typer.Context, device: Device) -> None:
    """What a robot should have now, and what it told."""
    session = session_of(ctx)
    wanted = session.api.devices.desired(device).model_dump(mode="json")
    found = session.api.devices.get(device).model_dump(mode="json")
    lines = [f"{device} should have {wanted['model']} version {wanted['version']}"]
    if found["last_report"]:
        report = found["last_report"]
        told = [report["state"], report.get("reason"), report.get("detail")]
        lines.append(f"last report: {' '.join(part for part in told if part)} ({report.get('received_at')})")
    if found["inventory"]:
        lines.append(", ".join(f"{name} {value}" for name, value in found["inventory"].items() if value))
    session.console.result({**wanted, "device_state": found}, "\n".join(lines))


@devices.command(
    "set",
    epilog=examples("periscope devices set sub-1 --model buoys", "periscope devices set sub-2 --group pool"),
)
def set_command(
    ctx: typer.Context,
    device: Device,
    model: ModelOption = None,
    alias: AliasOption = None,
    version: VersionOption = None,
    group: Annotated[str | None, typer.Option(help="The group that it belongs to.")] = None,
    activation: Activation = ActivationName.NOW,
) -> None:
    """Register a robot or change what it should have."""
    if alias is not None and version is not None:
        raise CommandFailed("give --alias or --version, not both", USAGE)
    session = session_of(ctx)
    wish = {"model": model, "alias": alias, "version": version, "group": group}
    given = {name: value for name, value in wish.items() if value is not None}
    found = session.api.devices.set(device, {**given, "activation": activation.value})
    session.console.result(found.model_dump(mode="json"), f"{device} gets {found.model}")


@devices.command("enrol")
def enrol_command(ctx: typer.Context, device: Device) -> None:
    """A one-time code; on the robot, `jetson_agent.py enrol CODE` turns it into the robot's token."""
    session = session_of(ctx)
    made = session.api.devices.code(device)
    session.console.note(
        f"good once, until {made.expires_at}; on the robot: jetson_agent.py enrol {made.code}"
    )
    session.console.result(made.model_dump(mode="json"), made.code)


@devices.command("reports")
def reports_command(ctx: typer.Context, device: Device) -> None:
    """What a robot told, in the order it came."""
    session = session_of(ctx)
    items = list(session.api.devices.reports(device))
    rows = [
        (item["received_at"], item["state"], item.get("reason"), item.get("model"), item.get("version"))
        for item in items
    ]
    session.console.result({"items": items}, table(("RECEIVED", "STATE", "REASON", "MODEL", "VERSION"), rows))


@devices.command("remove")
def remove_command(ctx: typer.Context, device: Device) -> None:
    """Forget a robot, with its tokens; the model that it has it keeps."""
    session = session_of(ctx)
    session.api.devices.delete(device)
    session.console.result({"device": device, "removed": True}, f"{device} is forgotten")


@tokens.callback()
def tokens_callback(ctx: typer.Context) -> None:
    """List, create and revoke tokens (admin)."""
    if ctx.invoked_subcommand is None:
        _list_tokens(session_of(ctx))


@tokens.command("list")
def list_tokens_command(ctx: typer.Context) -> None:
    """All tokens, without their texts."""
    _list_tokens(session_of(ctx))


def _list_tokens(session: Session) -> None:
    items = [item.model_dump(mode="json") for item in session.api.tokens.list()]
    rows = [(item["name"], item["role"], item["device_id"], item["created_at"], item["id"]) for item in items]
    session.console.result({"items": items}, table(("NAME", "ROLE", "DEVICE", "CREATED", "ID"), rows))


@tokens.command("create")
def create_token_command(
    ctx: typer.Context,
    role: Annotated[RoleName, typer.Argument()],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what it is for.")],
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="For the role device: which robot.")
    ] = None,
) -> None:
    """Make a token; it is shown once."""
    session = session_of(ctx)
    made = session.api.tokens.create(role.value, name, device)
    session.console.note("this token is shown once and never again:")
    session.console.result(made.model_dump(mode="json"), made.token)


@tokens.command("revoke")
def revoke_token_command(ctx: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Make a token worthless."""
    session = session_of(ctx)
    session.api.tokens.revoke(token_id)
    session.console.result({"id": token_id, "revoked": True}, f"{token_id} is revoked")
