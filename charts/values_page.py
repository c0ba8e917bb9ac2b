"""The chart's README: a table of its values, from the comments in values.yaml. ``make charts`` checks it."""

from __future__ import annotations

import re
from pathlib import Path

CHART = Path(__file__).parent / "periscope"
LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):(?: (?P<value>.*))?$")
HEAD = """# The chart of Periscope

Installs the dataset service, the training service and the registry, restricted by Pod Security, with network
policies, and a namespace of their own for trainings.
[The guide](../../docs/kubernetes.md) goes through an installation step by step.

    helm install periscope charts/periscope --namespace periscope --create-namespace --values my-values.yaml

This table is made of the comments in `values.yaml` (`python -m charts.values_page`).

| value | default | is |
|---|---|---|
"""


def described() -> list[tuple[str, str, str]]:
    """Dotted name, default and sentence of every value that is no section."""
    found, path, told = [], [], ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            told = stripped.removeprefix("#").strip()
            continue
        match = LINE.match(line)
        if match is None:
            told = ""
            continue
        path = [*path[: len(match["indent"]) // 2], match["key"]]
        if match["value"] is not None:
            found.append((".".join(path), match["value"], told))
        told = ""
    return found


def page() -> str:
    """The README."""
    rows = [f"| `{name}` | `{value}` | {told} |" for name, value, told in described()]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (CHART / "README.md").write_text(page())
