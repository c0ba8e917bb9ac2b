"""What the client says of a version's findings and of differences, against the real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from periscope.client import ServiceClient
from periscope_cli.client import calls
from periscope_cli.client.datasets import Datasets
from periscope_cli.dataset_texts import diff_text, lint_text
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, picture, sound_files
from tests.unit.periscope_dataset.conftest import House, open_house


class InMemory:
    """A client of a service in memory."""

    def __init__(self, house: House) -> None:
        self._house = house

    def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return self._house.call("GET", path, 200, query_string=params or {})


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    house = open_house(MemoryStore(), tmp_path)
    dataset_id = house.dataset("pool")
    leaking = sound_files() | {"train/images/002.png": picture(50), "train/images/003.png": picture(101)}
    for files in (sound_files(), leaking):
        house.ingest(dataset_id, as_zip(files))
    return Datasets(cast("ServiceClient", InMemory(house)))


def test_lint_shows_the_findings_of_a_version(datasets: Datasets) -> None:
    newest = datasets.manifest("pool")

    assert newest["version"] == 2
    assert "error leak:" in lint_text(newest["findings"])
    assert "leak" not in lint_text(datasets.manifest("pool", 1)["findings"])
    assert datasets.version("pool").findings[0].code == "leak"


def test_diff_shows_what_changed_of_all_pages(datasets: Datasets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE_SIZE", 1)
    items = [item.model_dump(mode="json") for item in datasets.diff("pool", 1, 2)]

    assert len(items) == 2
    assert diff_text(items).splitlines()[2].split() == ["train/003", "changed", "+0", "-0", "~0"]
    assert (
        diff_text([item.model_dump(mode="json") for item in datasets.diff("pool", 1, 1)]) == "nothing changed"
    )
