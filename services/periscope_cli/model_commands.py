"""``periscope models``, ``alias`` and ``pull``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from periscope_cli.client import ModelReference
from periscope_cli.command import examples, session_of
from periscope_cli.console import size_text, table
from periscope_cli.failures import USAGE, CommandFailed, interruptible
from periscope_cli.parsing import count, pairs, typed
from periscope_cli.pulling import pull, release_for
from periscope_cli.session import Session

models = typer.Typer(
    help="List and search models; show, compare, restore and remove versions.", invoke_without_command=True
)
aliases = typer.Typer(no_args_is_help=True, help="Names that move from version to version, and their gate.")

Model = Annotated[str, typer.Argument(metavar="MODEL")]
Alias = Annotated[str, typer.Argument(metavar="ALIAS")]
Number = Annotated[int, typer.Argument(metavar="N", parser=typed(count), help="Number of a version.")]
Terms = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")]


@models.callback()
def models_callback(ctx: typer.Context) -> None:
    """List and search models; show, compare, restore and remove versions."""
    if ctx.invoked_subcommand is None:
        _list(session_of(ctx), None, ())


@models.command("list")
def list_command(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Option(help="In name or description.")] = None,
    tag: Terms = None,
) -> None:
    """All models, or those that are looked for."""
    _list(session_of(ctx), text, tuple(tag or ()))


def _list(session: Session, text: str | None, tags: tuple[str, ...]) -> None:
    items = [item.model_dump(mode="json") for item in session.api.models.list(text, tags)]
    rows = [(item["name"], item["latest_version"], item["description"], item["created_at"]) for item in items]
    session.console.result({"items": items}, table(("NAME", "LATEST", "DESCRIPTION", "CREATED"), rows))


@models.command("show")
def show_command(
    ctx: typer.Context,
    model: Model,
    text: Annotated[str | None, typer.Option(help="Versions with this in the description.")] = None,
    tag: Terms = None,
    min_metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=X", help="As val.classes.buoy.digits_map=0.6. May be repeated."),
    ] = None,
) -> None:
    """One model, its versions and aliases."""
    session = session_of(ctx)
    found = session.api.models.get(model).model_dump(mode="json")
    search = {"text": text, "tag": tag or [], "min_metric": min_metric or []}
    versions = [item.model_dump(mode="json") for item in session.api.models.versions(model, **search)]
    rows = [
        (
            item["version"],
            size_text(item["zip"]["size_bytes"]),
            item["zip"]["sha256"][:12],
            item["created_at"],
        )
        for item in versions
    ]
    pointing = ", ".join(f"{told['alias']} -> {told['version']}" for told in found["aliases"]) or "none"
    head = f"{found['name']}  {found['description']}".rstrip()
    listed = table(("VERSION", "SIZE", "SHA-256", "CREATED"), rows)
    session.console.result({"model": found, "versions": versions}, f"{head}\naliases: {pointing}\n\n{listed}")


@models.command("compare")
def compare_command(
    ctx: typer.Context,
    model: Model,
    base: Annotated[int, typer.Argument(metavar="FROM", parser=typed(count))],
    version: Annotated[int, typer.Argument(metavar="TO", parser=typed(count))],
) -> None:
    """How two versions differ: figures side by side, and files."""
    session = session_of(ctx)
    found = session.api.models.compare(model, base, version).model_dump(mode="json")
    rows = [
        (
            item["name"],
            *("-" if item[key] is None else f"{item[key]:.4g}" for key in ("base", "head", "change")),
        )
        for item in found["metrics"]
    ]
    files = [f"{kind}: {', '.join(names)}" for kind, names in found["members"].items() if names]
    listed = table(("METRIC", f"VERSION {base}", f"VERSION {version}", "CHANGE"), rows)
    session.console.result(found, "\n".join([listed, *files]))


@models.command("push", epilog=examples("periscope models push buoys digits-model.zip --tag from=digits"))
def push_command(
    ctx: typer.Context,
    model: Model,
    path: Annotated[Path, typer.Argument(metavar="ZIP", exists=True, dir_okay=False)],
    description: Annotated[str, typer.Option()] = "",
    tag: Terms = None,
) -> None:
    """Make a version of a zip of your own; a refusal says everything that is wrong with it."""
    session = session_of(ctx)
    progress = session.progress()
    tags = pairs(tag)
    try:
        with interruptible(f"`periscope models show {model}` tells whether the version was made"):
            made = session.api.models.publish_zip(
                model, path, description, progress.bytes_done("upload"), tags=tags or None
            )
    finally:
        progress.end()
    if (description and made.description != description) or not tags.items() <= made.tags.items():
        session.console.note("this very zip is a version already; its description and tags stay as they are")
    session.console.result(made.model_dump(mode="json"), f"{model} version {made.version}")


@models.command("remove")
def remove_command(ctx: typer.Context, model: Model, version: Number) -> None:
    """Put a version into the trash; refused with what uses it."""
    session = session_of(ctx)
    session.api.models.delete_version(model, version)
    session.console.result(
        {"model": model, "trashed": version},
        f"{model} version {version} is in the trash; back: periscope models restore {model} {version}",
    )


@models.command("restore")
def restore_command(ctx: typer.Context, model: Model, version: Number) -> None:
    """Take a version out of the trash."""
    session = session_of(ctx)
    found = session.api.models.restore(model, version)
    session.console.result(found.model_dump(mode="json"), f"{model} version {version} is back")


@models.command("trash")
def trash_command(ctx: typer.Context, model: Model) -> None:
    """Versions that can still be restored."""
    session = session_of(ctx)
    items = [item.model_dump(mode="json") for item in session.api.models.trash(model)]
    rows = [(item["version"], item["removed_at"], item["description"]) for item in items]
    session.console.result({"items": items}, table(("VERSION", "REMOVED", "DESCRIPTION"), rows))


@models.command("clean-up")
def clean_up_command(
    ctx: typer.Context,
    really: Annotated[bool, typer.Option("--really", help="Do it; without, only tell.")] = False,
    grace_hours: Annotated[
        int | None, typer.Option(metavar="N", parser=typed(count), help="Default: a week.")
    ] = None,
) -> None:
    """Apply every model's retention and empty the trash (admin)."""
    session = session_of(ctx)
    options: dict[str, Any] = {} if grace_hours is None else {"grace_hours": grace_hours}
    found = session.api.models.clean_up(dry_run=not really, **options).model_dump(mode="json")
    rows = [
        (one["model"], one["version"], one["action"], "; ".join(one["reasons"])) for one in found["versions"]
    ]
    session.console.result(found, table(("MODEL", "VERSION", "ACTION", "BECAUSE"), rows))


@aliases.command("list")
def list_aliases_command(ctx: typer.Context, model: Model) -> None:
    """Where a model's aliases point."""
    session = session_of(ctx)
    items = [item.model_dump(mode="json") for item in session.api.models.aliases(model)]
    rows = [(item["alias"], item["version"], item["updated_at"], item["history"][-1]["by"]) for item in items]
    session.console.result({"items": items}, table(("ALIAS", "VERSION", "MOVED", "BY"), rows))


@aliases.command("set", epilog=examples("periscope alias set buoys latest 7"))
def set_alias_command(ctx: typer.Context, model: Model, alias: Alias, version: Number) -> None:
    """Point an alias to a version; robots that follow it get that one."""
    session = session_of(ctx)
    found = session.api.models.point(model, alias, version)
    session.console.result(found.model_dump(mode="json"), f"{model}@{alias} is version {found.version}")


@aliases.command("rollback")
def roll_back_command(ctx: typer.Context, model: Model, alias: Alias) -> None:
    """Point an alias to where it was before; robots go back with it."""
    session = session_of(ctx)
    found = session.api.models.roll_back(model, alias)
    session.console.result(found.model_dump(mode="json"), f"{model}@{alias} is version {found.version} again")


@aliases.command("remove")
def remove_alias_command(ctx: typer.Context, model: Model, alias: Alias) -> None:
    """Take an alias away; refused where something follows it."""
    session = session_of(ctx)
    session.api.models.delete_alias(model, alias)
    session.console.result({"model": model, "removed": alias}, f"{model}@{alias} is removed")


@aliases.command(
    "gate", epilog=examples("periscope alias gate buoys --guard latest --min val.classes.buoy.digits_map=0.6")
)
def gate_command(
    ctx: typer.Context,
    model: Model,
    guard: Annotated[
        list[str] | None, typer.Option(metavar="ALIAS", help="Make a gate for this alias. May be repeated.")
    ] = None,
    minimum: Annotated[
        list[str] | None, typer.Option("--min", metavar="METRIC=X", help="May be repeated.")
    ] = None,
    parity: Annotated[bool, typer.Option(help="Exports must be proved equal to the network.")] = True,
    is_open: Annotated[bool, typer.Option("--open", help="Take the gate away.")] = False,
) -> None:
    """Show a model's gate, or say what must hold before an alias is pointed to a version."""
    session = session_of(ctx)
    if minimum and not guard:
        raise CommandFailed("--min belongs to a gate: name what it guards by --guard ALIAS", USAGE)
    if guard or is_open:
        least = {name: typed(float)(text) for name, text in pairs(minimum).items()}
        wish = {"aliases": [] if is_open else guard, "minimums": least, "parity": parity}
        found = session.api.models.set_gate(model, wish)
    else:
        found = session.api.models.gate(model)
    document = found.model_dump(mode="json")
    session.console.result(document, json.dumps(document, indent=2))


def pull_command(
    ctx: typer.Context,
    model: Annotated[
        ModelReference,
        typer.Argument(
            metavar="MODEL[@ALIAS|:VERSION]", parser=typed(ModelReference.parse), help="Default: @latest."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: MODEL-VERSION.zip.")
    ] = None,
    for_device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Also write FILE.release.json, for this robot's USB stick."),
    ] = None,
) -> None:
    """Download a model's zip; a download that broke off is gone on with."""
    session = session_of(ctx)
    version = session.api.models.version(model)
    release = None if for_device is None else release_for(session, for_device, version)
    target = output or Path(f"{version.model}-{version.version}.zip")
    pull(session, version, target)
    if release is not None:
        target.with_name(f"{target.name}.release.json").write_text(json.dumps(release) + "\n")
    document = {
        "model": version.model,
        "version": version.version,
        "file": str(target),
        "sha256": version.zip.sha256,
        "size_bytes": version.zip.size_bytes,
    }
    session.console.result(document, str(target))
