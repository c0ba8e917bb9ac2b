"""What a training is asked to be, from a file, a prototxt and flags. On plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from periscope.wire.jobs import JobRequest
from periscope_cli.failures import USAGE, CommandFailed

Wish = dict[str, Any]

LISTS = ("allow_findings",)


def read_wish(path: Path) -> Wish:
    """A YAML or JSON file with the fields of a job request.

    Raises:
        CommandFailed: it cannot be read, is no mapping, or has a field that no job has.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}", USAGE) from error
    if not isinstance(document, dict):
        raise CommandFailed(f"{path} must hold a mapping of options, such as `epochs: 30`", USAGE)
    unknown = sorted(set(map(str, document)) - set(JobRequest.model_fields))
    if unknown:
        known = ", ".join(sorted(JobRequest.model_fields))
        raise CommandFailed(f"{path}: a job has no {', '.join(unknown)}; it has {known}", USAGE)
    return document


def read_prototxt(path: Path) -> Wish:
    """A network of one's own, as the field that carries it. Raises CommandFailed."""
    try:
        return {"network": path.read_text()}
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} cannot be read: {error}", USAGE) from error


def options_of(texts: Mapping[str, str]) -> Wish:
    """``{"augmentation.flip_prob": "0.5"}`` as nested fields; values are read as YAML.

    Raises:
        CommandFailed: a value is no YAML, or a name goes through something that is no mapping.
    """
    found: Wish = {}
    for name, text in texts.items():
        *way, last = name.split(".")
        place = found
        for part in way:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise CommandFailed(f"--option {name}: {part} has a value already", USAGE)
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise CommandFailed(f"--option {name}={text}: {error}", USAGE) from error
    return found


def merged(*wishes: Mapping[str, Any]) -> Wish:
    """Later ones go before earlier ones, within nested mappings too; None means not given."""
    found: Wish = {}
    for wish in wishes:
        for name, value in wish.items():
            if value is None or (name in LISTS and not value):
                continue
            before = found.get(name)
            if isinstance(before, dict) and isinstance(value, dict) and "name" not in value:
                found[name] = merged(before, value)
            else:
                found[name] = value
    return found
