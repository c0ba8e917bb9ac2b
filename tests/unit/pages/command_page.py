"""``docs/cli.md``: every command with its options, as the program itself tells them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from typer.main import get_command

from periscope_cli.command_line import app
from periscope_cli.failures import EXIT_CODES

HEAD = """\
# The command `periscope`

Made by `make pages` from the program itself; `periscope COMMAND --help` says the same. Shell completion: `periscope --install-completion`.
After `make setup` the program is `.venv/bin/periscope`; `export PATH="$PWD/.venv/bin:$PATH"` lets the shell find it.

Addresses and token come from options, from the environment (`PERISCOPE_DATASET_URL`, `PERISCOPE_TRAINING_URL`,
`PERISCOPE_REGISTRY_URL`, `PERISCOPE_TOKEN`), from `.periscope/client.json` in this folder or above it (as `make serve` writes it), or from
`periscope login`. The first that is there counts; `--context NAME` goes before the file.

With `--json` a command prints one JSON document, also of a failure: `{"error": {"message", "exit_code", "details"}}`.
"""


def page() -> str:
    """The whole page."""
    root = get_command(app)
    parts = [
        HEAD,
        "```text",
        EXIT_CODES.rstrip(),
        "```",
        "",
        "## Options of all commands",
        "",
        *_options(root),
    ]
    for name, command in root.commands.items():
        parts += _section(f"periscope {name}", command, 2)
    return "\n".join(parts).rstrip() + "\n"


def _section(path: str, command: Any, level: int) -> list[str]:
    commands = getattr(command, "commands", {})
    lines = ["", f"{'#' * level} `{path}`", "", _first(command.help)]
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if not commands:
        words = [path, *(_metavar(one) for one in arguments)]
        lines += ["", f"`{' '.join(words)}`"]
    lines += ["", *_options(command)] if _options(command) else []
    if command.epilog:
        lines += [
            "",
            "```sh",
            *(line for line in command.epilog.split("\n\n") if line.startswith("periscope ")),
            "```",
        ]
    for name, nested in commands.items():
        lines += _section(f"{path} {name}", nested, level + 1)
    return lines


def _options(command: Any) -> list[str]:
    shown = [
        one
        for one in command.params
        if (one.param_type_name == "option" or one.help)
        and not {"--help", "--install-completion"} & set(one.opts)
    ]
    if not shown:
        return []
    rows = [f"| {_name(one)} | {_text(one)} |" for one in shown]
    return ["| option | |", "|---|---|", *rows]


def _name(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{_metavar(option)}`"
    value = "" if option.is_flag else f" {option.metavar or _choices(option)}"
    return " ".join(f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts))


def _choices(option: Any) -> str:
    kind = type(option.default)
    return "|".join(str(one.value) for one in kind) if issubclass(kind, Enum) else "TEXT"


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _text(option: Any) -> str:
    text = (option.help or "").replace("|", "\\|")
    default = option.default
    if (
        isinstance(default, str | int | float)
        and not isinstance(default, bool)
        and str(default) not in ("", ".")
    ):
        value = getattr(default, "value", default)
        text += f" Default: `{value}`."
    if option.required and option.param_type_name == "option":
        text += " Required."
    return text.strip()


def _first(text: str | None) -> str:
    return (text or "").strip().replace("\n", " ")
