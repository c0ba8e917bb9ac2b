"""The lint on a corpus: each broken data set gives what it should and no error besides; healthy ones give nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from periscope_dataset.explanations import EXPLANATIONS
from tests.dataset_corpus import Case, hopeless, odd, refused, sound
from tests.unit.periscope_dataset.conftest import House

pytestmark = pytest.mark.slow

BROKEN = refused() | hopeless() | odd()
SOUND = sound()
DOCS = Path(__file__).resolve().parents[3] / "docs" / "dataset-findings.md"


def ingested(house: House, case: Case) -> dict[str, Any]:
    return house.ingest(house.dataset(), case.pack(case.files), **case.options)


def codes(ingest: dict[str, Any], severity: str) -> set[str]:
    return {finding["code"] for finding in ingest["findings"] if finding["severity"] == severity}


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(BROKEN) >= 40
    assert len(SOUND) >= 10


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_data_set_gives_its_finding_and_no_other_error(house: House, what: str) -> None:
    case = BROKEN[what]

    ingest = ingested(house, case)

    assert ingest["state"] == ("FAILED" if what in refused() else "SUCCEEDED")
    assert codes(ingest, "error") == ({case.code} if case.severity == "error" else set())
    expected = case.also | ({case.code} if case.severity == "warning" else set())
    assert codes(ingest, "warning") == expected or what in refused()


@pytest.mark.parametrize("what", SOUND)
def test_a_healthy_data_set_gives_none(house: House, what: str) -> None:
    ingest = ingested(house, SOUND[what])

    assert (ingest["state"], ingest["findings"]) == ("SUCCEEDED", [])


def test_a_finding_says_where_why_and_what_to_do(house: House) -> None:
    finding = ingested(house, BROKEN["one box outside"])["findings"][0]

    assert finding["examples"] == [
        {"file": "train/labels/000.txt", "line": 2, "box": [60.0, 10.0, 130.0, 50.0]}
    ]
    assert finding["count"] == 1
    assert finding["why"]
    assert finding["advice"]


def test_the_version_carries_the_findings(house: House) -> None:
    dataset_id = house.dataset()
    case = BROKEN["few validation pictures"]

    ingest = house.ingest(dataset_id, case.pack(case.files))

    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
    assert manifest["findings"] == ingest["findings"]


def test_the_documentation_lists_every_code() -> None:
    listed = {line.split("`")[1] for line in DOCS.read_text().splitlines() if line.startswith("| `")}

    assert listed == set(EXPLANATIONS)
