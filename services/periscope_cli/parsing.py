"""Words of a command line as values. Each raises ValueError that says how to write it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer

SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
Value = TypeVar("Value")


class Size(tuple[int, int]):
    """Width and height."""

    def document(self) -> dict[str, int]:
        """As the services take it."""
        return {"width": self[0], "height": self[1]}


def size(text: str) -> Size:
    """``640x480`` as width and height."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size; write WIDTHxHEIGHT, for example 640x480")
    return Size((int(found[1]), int(found[2])))


def names(text: str) -> list[str]:
    """``buoy,gate`` as a list."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError(f"{text!r} is no list of names; write buoy,gate")
    return parts


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number of at least 1")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """``key=value``."""
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise ValueError(f"{text!r} is no key=value")
    return key, value


def stage(text: str) -> dict[str, Any]:
    """A stage of a rollout: ``10%``, or names of robots as ``sub-1,sub-2``, or both as ``sub-1,10%``."""
    devices, percent = [], 0.0
    for part in names(text):
        if part.endswith("%"):
            try:
                percent = float(part[:-1])
            except ValueError as error:
                raise ValueError(f"{part!r} is no percentage; write 10%") from error
        else:
            devices.append(part)
    return {"devices": devices, "percent": percent}


def typed(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A parser for an option; what it has to say reaches the user."""

    def parser(text: str) -> Value:
        # Defaults come as they are, and have been parsed.
        if not isinstance(text, str):
            return text
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    parser.__name__ = parse.__name__
    return parser


def pairs(texts: list[str] | None) -> dict[str, str]:
    """Several ``key=value``. Raises typer.BadParameter."""
    return dict(typed(pair)(text) for text in texts or [])
