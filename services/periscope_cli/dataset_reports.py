"""``periscope dataset lint`` and ``diff``: what a version's content is like."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from periscope_cli.connection import Session
from periscope_cli.console import table
from periscope_cli.datasets import find_dataset, lint_text

PAGE_SIZE = 200
Document = dict[str, Any]


def run_lint(session: Session, arguments: Namespace) -> None:
    """``periscope dataset lint``."""
    dataset = find_dataset(session, arguments.dataset)
    version = session.dataset.get(f"/v1/datasets/{dataset['id']}/versions/{arguments.version or 'latest'}")
    found = version.get("findings", [])
    document = {"dataset": dataset, "version": version["version"], "findings": found}
    session.console.result(document, lint_text(found))


def run_diff(session: Session, arguments: Namespace) -> None:
    """``periscope dataset diff``."""
    dataset = find_dataset(session, arguments.dataset)
    path = f"/v1/datasets/{dataset['id']}/versions/{arguments.version}/diff"
    query: Document = {"base": arguments.base, "page_size": PAGE_SIZE}
    found = session.dataset.get(path, params=query)
    items, token = list(found["items"]), found.get("next_page_token")
    while token is not None:
        more = session.dataset.get(path, params={**query, "page_token": token})
        items, token = [*items, *more["items"]], more.get("next_page_token")
    document = {"dataset": dataset, **found, "items": items, "next_page_token": None}
    session.console.result(document, _shown(items))


def _shown(items: list[Document]) -> str:
    if not items:
        return "nothing changed"
    rows = [
        (
            f"{item['split']}/{item['key']}", item["change"],
            f"+{item['boxes_added']} -{item['boxes_removed']} ~{item['boxes_changed']}",
        )
        for item in items
    ]  # fmt: skip
    return table(("PICTURE", "CHANGE", "BOXES"), rows)
