"""docs/metrics.md names every metric of the data set service and the registry; the training's has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.security.services import Services

PAGE = Path("docs/metrics.md").read_text()
ROW = re.compile(r"^\| `(periscope_\w+)` \|", re.MULTILINE)
TYPE = re.compile(r"^# TYPE (\w+) \w+$", re.MULTILINE)


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:][titles().index(title)]


def titles() -> list[str]:
    return re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["dataset", "registry"])
def test_every_metric_of_a_service_is_on_the_page(name: str, tmp_path: Path) -> None:
    services = Services.open(tmp_path)
    services.status(next(route for route in services.routes() if route.service == name), None)

    text = services.apps[name].test_client().get("/metrics").get_data(as_text=True)
    exposed = {found for found in TYPE.findall(text) if not found.endswith("_created")}

    assert exposed <= set(ROW.findall(PAGE))
    assert set(ROW.findall(section("Every service"))) <= exposed
