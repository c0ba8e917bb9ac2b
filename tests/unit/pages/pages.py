"""The pages that are made from the code, by their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.pages import command_page, option_page, problem_page

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "cli.md": command_page.page,
    DOCS / "options.md": option_page.page,
    DOCS / "problems.md": problem_page.page,
}
