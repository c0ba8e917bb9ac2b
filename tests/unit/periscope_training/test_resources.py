from __future__ import annotations

import pytest
from pydantic import ValidationError

from periscope.wire.jobs import JobRequest
from tests.unit.periscope_training.house import House


def test_what_a_job_asks_of_a_machine_reaches_the_launcher() -> None:
    house = House()
    wish = {"gpus": 0, "memory": "2Gi"}
    request = JobRequest.model_validate({"name": "dive", "dataset": "pool", "resources": wish})
    house.submissions.submit_job(request, None)
    house.loop()

    assert house.launcher.only_run().launch.resources == wish


def test_a_job_that_asks_for_nothing_special_gets_what_is_set() -> None:
    house = House()
    house.add_job()
    house.loop()

    assert house.launcher.only_run().launch.resources == {}


@pytest.mark.parametrize(
    "wish", [{"memory": "much"}, {"memory": "-1Gi"}, {"gpus": -1}, {"image": "mine"}, {"cpu": "0"}]
)
def test_what_makes_no_sense_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JobRequest.model_validate({"name": "dive", "dataset": "pool", "resources": wish})
