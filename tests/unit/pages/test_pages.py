"""The documentation: pages made from the code are current, and the tests that the threat model names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.pages.pages import DOCS, PAGES
from tests.unit.pages.problem_page import ADVICE, problem_types

ROOT = DOCS.parent


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.name)
def test_a_page_that_is_made_from_the_code_is_current(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make pages`"


def test_every_kind_of_problem_has_its_advice() -> None:
    assert {kind.status for kind in problem_types()} <= set(ADVICE)
    page = (DOCS / "problems.md").read_text()
    assert all(f"| {kind.title} |" in page for kind in problem_types())


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "threat-model.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))

    assert len(named) > 30
    assert sorted(name for name in named if f"def {name}(" not in sources) == []
