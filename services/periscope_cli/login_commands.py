"""``periscope login``, ``logout`` and ``contexts``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from periscope.client import ServiceClient
from periscope_cli.command import examples, session_of
from periscope_cli.connection import NAMES, SERVICES
from periscope_cli.console import table
from periscope_cli.contexts import Contexts
from periscope_cli.failures import USAGE, CommandFailed

CHECKS = {"dataset": "/v1/datasets", "training": "/v1/jobs", "registry": "/v1/models"}
TIMEOUT_S = 15.0
DEFAULT = "default"

LOGIN_EXAMPLES = examples(
    "periscope login --dataset-url https://data.example.org --training-url https://train.example.org "
    "--registry-url https://models.example.org",
    "periscope login --name pool < token.txt",
)


def login_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="For several installations: a name for this one.")] = DEFAULT,
) -> None:
    """Remember addresses and token; the token is asked for, or read from standard input.

    Addresses are those of the options, the environment or what was remembered before. Each is called before
    anything is kept.
    """
    session = session_of(ctx)
    known = Contexts.of(os.environ).all().get(name, {})
    found = {key: getattr(session.connection, key) or known.get(key) for key in NAMES}
    missing = [f"--{service}-url" for service in SERVICES if not found[f"{service}_url"]]
    if missing:
        raise CommandFailed(f"where are the services? Give {', '.join(missing)}", USAGE)
    # A token of a remembered context is not the one that is to be given now.
    given = ctx.find_root().params.get("token") or os.environ.get("PERISCOPE_TOKEN")
    context = {**{key: str(found[key]) for key in NAMES}, "token": given or _read_token()}
    for service in SERVICES:
        client = ServiceClient(context[f"{service}_url"], context["token"], timeout_s=TIMEOUT_S)
        client.get(CHECKS[service], params={"page_size": 1})
    contexts = Contexts.of(os.environ)
    contexts.save(name, context)
    session.console.result(
        {"context": name, "file": str(contexts.path)}, f"logged in; {contexts.path} keeps it as {name!r}"
    )


def _read_token() -> str:
    text = typer.prompt("token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = str(text).strip()
    if not token:
        raise CommandFailed("no token was given; `periscope tokens create` makes one", USAGE)
    return token


def logout_command(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="Default: the one in use.")] = None,
) -> None:
    """Forget addresses and token of an installation; the token stays good until it is revoked."""
    contexts = Contexts.of(os.environ)
    gone = name or contexts.current_name()
    if gone is None:
        raise CommandFailed("nothing is logged in to", USAGE)
    contexts.forget(gone)
    session_of(ctx).console.result({"context": gone, "removed": True}, f"{gone!r} is forgotten")


def contexts_command(
    ctx: typer.Context,
    use: Annotated[str | None, typer.Option(metavar="NAME", help="Take this one from now on.")] = None,
) -> None:
    """What was logged in to; tokens are not shown."""
    contexts = Contexts.of(os.environ)
    if use is not None:
        contexts.use(use)
    current = contexts.current_name()
    items = [
        {"name": name, "current": name == current, **{key: told.get(key) for key in NAMES if key != "token"}}
        for name, told in sorted(contexts.all().items())
    ]
    rows = [("*" if item["current"] else "", item["name"], item["registry_url"]) for item in items]
    session_of(ctx).console.result({"items": items}, table(("", "NAME", "REGISTRY"), rows))
