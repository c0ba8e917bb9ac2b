"""``periscope keys``: made and kept offline; no service is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from periscope_cli import keys
from periscope_cli.command import examples, session_of
from periscope_cli.parsing import count, typed

key_commands = typer.Typer(
    no_args_is_help=True, help="Make and rotate the keys that sign releases (offline)."
)

Root = Annotated[Path, typer.Argument(metavar="ROOT.json")]


@key_commands.command("init", epilog=examples("periscope keys init keys --root-keys 2 --threshold 2"))
def init_command(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    root_keys: Annotated[int, typer.Option(metavar="N", parser=typed(count), help="How many.")] = 1,
    threshold: Annotated[
        int, typer.Option(metavar="N", parser=typed(count), help="How many of them must sign.")
    ] = 1,
) -> None:
    """Root keys, a release key and the first root document."""
    keys.init(session_of(ctx).console, folder, root_keys, threshold)


@key_commands.command("sign-root")
def sign_root_command(
    ctx: typer.Context, root: Root, key: Annotated[Path, typer.Option(metavar="KEY.pem")]
) -> None:
    """Sign a root document with one more key."""
    keys.sign_root(session_of(ctx).console, root, key)


@key_commands.command("rotate")
def rotate_command(
    ctx: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="ROOT.json", help="The newest.")],
    key: Annotated[list[Path], typer.Option(metavar="KEY.pem", help="A root key; repeat it.")],
    release_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the new release key goes.")
    ] = None,
    new_root_key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Make this root key in place of the old ones. May be repeated."),
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(metavar="N", parser=typed(count), help="Default: as before.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="The old release keys sign no more.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: root-N.json beside it.")
    ] = None,
) -> None:
    """The next root document, with a new release key."""
    wish = keys.Rotation(root, key, new_root_key or [], release_key, threshold, revoke, output)
    keys.rotate(session_of(ctx).console, wish)
