"""``periscope dataset lint`` and ``diff`` against the real service."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from periscope_cli.dataset_reports import run_diff, run_lint
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, picture, sound_files
from tests.unit.periscope_dataset.conftest import House, open_house


class Told:
    """A session on a service in memory, and what it printed."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.dataset = SimpleNamespace(get=self.get)
        self.console = SimpleNamespace(result=self.result)
        self.document: dict[str, Any] = {}
        self.text = ""

    def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return self.house.call("GET", path, 200, query_string=params or {})

    def result(self, document: dict[str, Any], text: str) -> None:
        self.document, self.text = document, text


def told_of(folder: Path) -> Told:
    house = open_house(MemoryStore(), folder)
    dataset_id = house.dataset("pool")
    leaking = sound_files() | {"train/images/002.png": picture(50), "train/images/003.png": picture(101)}
    for files in (sound_files(), leaking):
        house.ingest(dataset_id, as_zip(files))
    return Told(house)


def test_lint_shows_the_findings_of_a_version(tmp_path: Path) -> None:
    told: Any = told_of(tmp_path)

    run_lint(told, Namespace(dataset="pool", version=None))
    assert "error leak:" in told.text
    assert told.document["version"] == 2
    run_lint(told, Namespace(dataset="pool", version=1))
    assert "leak" not in told.text


def test_diff_shows_what_changed_of_all_pages(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("periscope_cli.dataset_reports.PAGE_SIZE", 1)
    told: Any = told_of(tmp_path)

    run_diff(told, Namespace(dataset="pool", base=1, version=2))
    assert told.text.splitlines()[2].split() == ["train/003", "changed", "+0", "-0", "~0"]
    assert len(told.document["items"]) == 2
    run_diff(told, Namespace(dataset="pool", base=1, version=1))
    assert told.text == "nothing changed"
