from __future__ import annotations

import pytest

from periscope import keys
from periscope.store import StoreUnavailable
from periscope_training.launcher import Phase
from tests.unit.periscope_training.fate import Killed
from tests.unit.periscope_training.house import House


@pytest.fixture
def house() -> House:
    return House()


def test_a_job_is_started_with_its_own_token_and_address(house: House) -> None:
    job_id = house.add_job()
    house.loop()

    launch = house.world.runs[job_id, 1, 1].launch
    assert house.state(job_id) == "RUNNING"
    assert launch.arguments() == ["job", "--job", job_id, "--attempt", "1"]
    assert launch.progress_url == f"http://t/v1/jobs/{job_id}/attempts/1/progress"
    assert launch.progress_token == f"{job_id}-1-02"


def test_a_completed_job_has_succeeded_and_its_log_is_kept(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.complete_training(job_id)
    house.launcher.end(0, log=b"done\n")
    house.loop()

    job = house.job(job_id)
    assert [entry["state"] for entry in job["history"]] == ["QUEUED", "STARTING", "RUNNING", "SUCCEEDED"]
    assert (job["ended_at"] is not None, job["attempts"][0]["exit_code"]) == (True, 0)
    assert house.store.get(keys.attempt_log(job_id, 1)).body == b"running\ndone\n"
    assert house.launcher.runs() == []


def test_a_failed_attempt_is_followed_by_another_after_a_wait(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.launcher.end(1)
    house.loop()
    assert (house.state(job_id), house.job(job_id)["retry_at"]) == ("QUEUED", "2026-11-01T12:00:10.000000Z")

    house.clock.advance(9)
    house.loop()
    assert house.state(job_id) == "QUEUED"

    house.clock.advance(1)
    house.loop()
    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("RUNNING", 2)


def test_the_fourth_failure_is_the_last(house: House) -> None:
    job_id = house.add_job()
    for _ in range(4):
        house.loop()
        house.launcher.end(137)
        house.loop()
        house.clock.advance(1000)
    house.loop()

    job = house.job(job_id)
    assert (job["state"], len(job["attempts"])) == ("FAILED", 4)
    assert "failed 4 times" in job["reason"]


def test_bad_data_fails_the_job_with_the_programs_own_words(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.launcher.end(
        65, log=b'{"error": "img.png does not decode.", "code": "image", "advice": "Replace it."}\n'
    )
    house.loop()

    job = house.job(job_id)
    assert (job["state"], job["reason"]) == ("FAILED", "img.png does not decode. Replace it.")
    assert job["error"] == {"error": "img.png does not decode.", "code": "image", "advice": "Replace it."}


def test_jobs_run_one_after_the_other_in_the_order_they_came(house: House) -> None:
    first, second, third = (house.add_job(name) for name in ("a", "b", "c"))
    house.loop()
    assert [house.state(job) for job in (first, second, third)] == ["RUNNING", "QUEUED", "QUEUED"]

    house.complete_training(first)
    house.launcher.end(0)
    house.loop()
    assert [house.state(job) for job in (first, second, third)] == ["SUCCEEDED", "RUNNING", "QUEUED"]


def test_a_job_that_waits_for_its_retry_lets_the_next_one_run(house: House) -> None:
    first, second = house.add_job("a"), house.add_job("b")
    house.loop()
    house.launcher.end(1)
    house.loop()

    assert (house.state(first), house.state(second)) == ("QUEUED", "RUNNING")


def test_as_many_jobs_run_as_there_are_slots() -> None:
    house = House(slots=2)
    jobs = [house.add_job() for _ in range(3)]
    house.loop()

    assert [house.state(job) for job in jobs] == ["RUNNING", "RUNNING", "QUEUED"]


def test_cancelling_stops_the_run(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.cancel(job_id)
    house.loop()

    job = house.job(job_id)
    assert (job["state"], job["attempts"][0]["exit_code"]) == ("CANCELLED", 143)
    assert house.launcher.runs() == []


def test_cancelling_a_waiting_job_needs_no_slot(house: House) -> None:
    house.add_job("a")
    waiting = house.add_job("b")
    house.loop()
    house.cancel(waiting)
    house.loop()

    assert house.state(waiting) == "CANCELLED"


def test_an_end_that_comes_after_the_cancel_but_is_complete_is_success(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.cancel(job_id)
    house.complete_training(job_id)
    house.loop()

    assert house.state(job_id) == "SUCCEEDED"


def test_cancelling_an_ended_job_changes_nothing(house: House) -> None:
    job_id = house.add_job()
    house.cancel(job_id)
    house.loop()
    before = house.job(job_id)["desired"], house.job(job_id)["history"]
    house.cancel(job_id)
    house.loop()

    assert (house.job(job_id)["desired"], house.job(job_id)["history"]) == before


def test_a_restarted_service_adopts_the_run(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.restart()
    house.loop()
    house.complete_training(job_id)
    house.launcher.end(0)
    house.loop()

    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("SUCCEEDED", 1)


def test_a_run_that_is_gone_is_replaced(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.world.runs.clear()
    house.loop()
    house.clock.advance(10)
    house.loop()

    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("RUNNING", 2)


def test_an_attempt_never_has_a_number_that_the_checkpoints_know(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.documents.update("checkpoints", job_id, lambda body: {**body, "attempt": 6})
    house.launcher.end(73)
    house.loop()

    assert [attempt["number"] for attempt in house.job(job_id)["attempts"]] == [1, 7]


def test_when_the_launcher_does_not_answer_the_job_waits(house: House) -> None:
    job_id = house.add_job()
    house.world.unavailable = True
    house.loop()
    assert house.state(job_id) == "STARTING"

    house.world.unavailable = False
    house.loop()
    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("RUNNING", 1)


def test_a_broken_document_does_not_stop_the_other_jobs(house: House) -> None:
    house.documents.create("jobs", {"state": "RUNNING", "attempts": "?", "desired": 5}, "0" * 26)
    job_id = house.add_job()
    house.loop()

    assert house.state(job_id) == "RUNNING"


def test_a_store_that_does_not_answer_ends_the_pass(house: House) -> None:
    house.add_job()
    house.store.unavailable = True

    with pytest.raises(StoreUnavailable):
        house.loop()


def test_runs_without_an_open_attempt_are_swept_away(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    (run,) = house.world.runs.values()
    house.world.runs["01UNKNOWN", 1, 98] = run
    house.world.runs[job_id, 7, 99] = run
    house.reconciler.sweep()

    assert house.launcher.runs() == [(job_id, 1)]


def test_what_attempts_hand_on_is_kept_as_long_as_the_job_lives(house: House) -> None:
    job_id = house.add_job()
    house.loop()
    house.launcher.end(1)
    house.loop()
    house.reconciler.sweep()
    assert house.launcher.kept_jobs() == [job_id]

    house.cancel(job_id)
    house.loop()
    assert house.launcher.kept_jobs() == []


def test_what_is_kept_of_ended_jobs_is_swept_away(house: House) -> None:
    job_id = house.add_job()
    house.cancel(job_id)
    house.loop()
    house.world.kept |= {job_id, "01UNKNOWN"}
    house.reconciler.sweep()

    assert house.launcher.kept_jobs() == []


def live_one_life(house: House) -> str:
    """One job from the request to its end, by a service that may be killed on the way."""
    jobs = [document.id for document in house.documents.list("jobs")]
    job_id = jobs[0] if jobs else house.add_job()
    house.reconciler.sweep()
    for _ in range(6):
        house.loop(1)
        runs = [run for run in house.world.runs.values() if run.seen.phase is Phase.RUNNING]
        assert len(runs) <= 1
        for run in runs:
            # What runs is on record: a restarted service would find it.
            assert house.job(job_id)["attempts"][-1]["launcher"] is not None
            house.complete_training(job_id)
            house.launcher.end(0, log=f"attempt {run.launch.attempt}".encode())
    return job_id


def test_a_service_that_is_killed_anywhere_ends_the_job_with_one_attempt() -> None:
    deaths = 0
    for appointed in range(1, 1000):
        house = House()
        house.fate.appointed = appointed
        try:
            live_one_life(house)
            break
        except Killed:
            deaths += 1
        house.restart()
        job_id = live_one_life(house)

        job = house.job(job_id)
        assert (job["state"], len(job["attempts"])) == ("SUCCEEDED", 1), appointed
        assert house.store.get(keys.attempt_log(job_id, 1)).body == b"running\nattempt 1", appointed
        house.reconciler.sweep()
        assert (house.launcher.runs(), house.launcher.kept_jobs()) == ([], []), appointed

    assert deaths > 15
