"""The documentation: pages made from the code are current, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.pages.pages import DOCS, PAGES
from tests.unit.pages.problem_page import ADVICE, problem_types

ROOT = DOCS.parent
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FOLDERS = ("", "docs", "charts", "services", "docker")


def texts() -> list[Path]:
    """Every page that a reader may come to."""
    found = {path for folder in FOLDERS for path in (ROOT / folder).glob("*.md" if not folder else "**/*.md")}
    return sorted(path for path in found if not {".venv", "node_modules", ".cache"} & set(path.parts))


def anchors(path: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.name)
def test_a_page_that_is_made_from_the_code_is_current(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make pages`"


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_picture_leads_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text())
    lost = []
    for target in [*LINK.findall(text), *PICTURE.findall(text)]:
        place, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = (path.parent / place).resolve() if place else path
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            lost.append(target)
    assert lost == []


def test_every_page_of_the_documentation_is_found_from_its_index() -> None:
    index = (DOCS / "README.md").read_text()
    assert [
        path.name for path in DOCS.glob("*.md") if path.name != "README.md" and f"({path.name})" not in index
    ] == []


def test_every_kind_of_problem_has_its_advice() -> None:
    assert {kind.status for kind in problem_types()} <= set(ADVICE)
    page = (DOCS / "problems.md").read_text()
    assert all(f"| {kind.title} |" in page for kind in problem_types())


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "threat-model.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))

    assert len(named) > 30
    assert sorted(name for name in named if f"def {name}(" not in sources) == []
