"""The command line's grammar: the options before all commands, and the commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from periscope_cli.connection import Connection
from periscope_cli.console import Console
from periscope_cli.dataset_commands import dataset
from periscope_cli.device_commands import devices, tokens
from periscope_cli.digits_commands import digits
from periscope_cli.doctor import doctor_command
from periscope_cli.failures import EXIT_CODES
from periscope_cli.group_commands import groups, rollouts
from periscope_cli.job_commands import (
    PREDICT_EXAMPLES,
    jobs,
    logs_command,
    predict_command,
    publish_command,
    watch_command,
)
from periscope_cli.key_commands import key_commands
from periscope_cli.login_commands import LOGIN_EXAMPLES, contexts_command, login_command, logout_command
from periscope_cli.model_commands import aliases, models, pull_command
from periscope_cli.session import Session
from periscope_cli.train_command import EXAMPLES as TRAIN_EXAMPLES
from periscope_cli.train_command import train_command

FLAGS = ("--json", "--quiet")
VALUES = ("--token", "--context", "--dataset-url", "--training-url", "--registry-url")

EPILOG = "\n\n".join(
    [*EXIT_CODES.strip().splitlines(), "Results go to standard output, the rest to standard error."]
)

app = typer.Typer(
    no_args_is_help=True, epilog=EPILOG, rich_markup_mode="rich", pretty_exceptions_enable=False
)


@app.callback()
def everywhere(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="What `periscope login --name` remembered.")
    ] = None,
    dataset_url: Annotated[str | None, typer.Option(metavar="URL", help="Or PERISCOPE_DATASET_URL.")] = None,
    training_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Or PERISCOPE_TRAINING_URL.")
    ] = None,
    registry_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Or PERISCOPE_REGISTRY_URL.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="Or PERISCOPE_TOKEN: other users of the machine can see a command line."),
    ] = None,
) -> None:
    """Push datasets, train DetectNet, publish models, look after robots.

    The options below may stand anywhere in the command line.
    """
    given = {
        "context": context,
        "dataset_url": dataset_url,
        "training_url": training_url,
        "registry_url": registry_url,
        "token": token,
    }
    connection = Connection.find(given, os.environ, Path.cwd())
    ctx.obj = Session(connection, Console(as_json, quiet=quiet))


def globals_first(arguments: list[str]) -> list[str]:
    """The options of all commands moved to the front; what stands behind ``--`` stays."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    front, rest, words = [], [], iter(arguments[:end])
    for word in words:
        name, sign, _ = word.partition("=")
        if word in FLAGS or (sign and name in VALUES):
            front.append(word)
        elif word in VALUES:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return [*front, *rest, *arguments[end:]]


app.command("login", epilog=LOGIN_EXAMPLES)(login_command)
app.command("logout")(logout_command)
app.command("contexts")(contexts_command)
app.command("doctor")(doctor_command)
app.add_typer(dataset, name="dataset")
app.command("train", epilog=TRAIN_EXAMPLES)(train_command)
app.add_typer(jobs, name="jobs")
app.command("watch")(watch_command)
app.command("logs")(logs_command)
app.command("predict", epilog=PREDICT_EXAMPLES)(predict_command)
app.command("publish")(publish_command)
app.add_typer(models, name="models")
app.add_typer(aliases, name="alias")
app.command("pull")(pull_command)
app.add_typer(devices, name="devices")
app.add_typer(groups, name="groups")
app.add_typer(rollouts, name="rollout")
app.add_typer(tokens, name="tokens")
app.add_typer(key_commands, name="keys")
app.add_typer(digits, name="digits")
