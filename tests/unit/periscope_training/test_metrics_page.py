from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.periscope_training.service import Service, reporting_service

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
SECTIONS = ("Training runs", "Training service", "Every service")
ROW = re.compile(r"^\| `(?P<name>\w+)` \|(?P<labels>[^|]*)\|", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    rows = [
        row for section in sections if section.partition("\n")[0] in SECTIONS for row in ROW.finditer(section)
    ]
    return {row["name"]: set(re.findall(r"`(\w+)`", row["labels"])) for row in rows}


def exposed(service: Service) -> dict[str, set[str]]:
    """Names as one queries them, with their labels."""
    text = service.client.get("/metrics").text
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created") or not family.samples:
            continue  # The client library's own.
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    return found


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return reporting_service(tmp_path)


def test_every_metric_on_the_page_exists_and_every_metric_is_on_the_page(service: Service) -> None:
    assert exposed(service) == documented()


def test_no_metric_has_a_label_that_prometheus_sets_itself(service: Service) -> None:
    assert not {"job", "instance"} & {label for labels in exposed(service).values() for label in labels}


def test_a_new_leader_shows_the_same(service: Service, tmp_path: Path) -> None:
    successor = Service(tmp_path, service.house)
    before = [line for line in service.client.get("/metrics").text.splitlines() if "periscope_train" in line]
    assert successor.client.get("/metrics").text.count("periscope_training_leader 0.0") == 1

    service.service.leadership.release()
    successor.lead()
    after = [line for line in successor.client.get("/metrics").text.splitlines() if "periscope_train" in line]
    assert after == before


def test_a_scrape_does_not_wait_for_the_store(service: Service) -> None:
    calls = dict(service.house.store.calls)
    service.client.get("/metrics")

    assert service.house.store.calls == calls
