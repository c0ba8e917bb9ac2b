"""``periscope dataset``."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope import client
from periscope_cli.progress import ProgressLine
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices, ulid

Periscope = Callable[..., Ran]


def test_a_folder_is_pushed_as_a_tar_in_parts(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    ran = periscope("dataset", "push", "dive", kitti)

    assert (ran.code, ran.out) == (0, "dive version 1\n")
    (parts,) = services.uploads.values()
    assert len(parts) > 1
    with tarfile.open(fileobj=io.BytesIO(services.uploaded())) as tar:
        assert tar.getnames()[:4] == [
            "train/images/0.jpg", "train/images/1.jpg", "train/images/2.jpg", "train/labels/0.txt"
        ]  # fmt: skip
        assert len(tar.getnames()) == 12


def test_the_same_files_give_the_same_upload_whatever_their_times(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    periscope("dataset", "push", "dive", kitti)
    first = services.uploaded()
    services.uploads.clear()
    for path in kitti.rglob("*.txt"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    periscope("dataset", "push", "dive", kitti)

    assert services.uploaded() == first


def test_options_reach_the_ingest(periscope: Periscope, services: FakeServices, kitti: Path) -> None:
    periscope(
        "dataset", "push", "dive", kitti, "--classes", "gate,buoy",
        "--resize", "640x480", "--pad", "656x496", "--val-min-box-size", 25,
    )  # fmt: skip

    (body,) = services.bodies("POST", f"/v1/datasets/{ulid(1)}/uploads/{ulid(100)}:finalize")
    assert body["options"] == {
        "classes": ["gate", "buoy"],
        "resize": {"width": 640, "height": 480},
        "pad": {"width": 656, "height": 496},
        "val_min_box_size": 25,
    }


def test_a_second_push_goes_to_the_same_dataset(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    periscope("dataset", "push", "dive", kitti)
    ran = periscope("dataset", "push", "dive", kitti, "--json")

    assert ran.document["dataset"]["id"] == ulid(1)
    assert list(services.datasets) == ["dive"]


def test_every_error_of_a_failed_ingest_is_printed_with_file_line_and_advice(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    error = {
        "file": "train/labels/1.txt",
        "line": 7,
        "code": "x",
        "message": "left is 'a'",
        "advice": "fix it",
    }
    services.ingest_states = [
        {"state": "FAILED", "version": None, "errors": [error, {"message": "no boxes"}]}
    ]
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 1
    assert "train/labels/1.txt:7: left is 'a'\n      fix it\n" in ran.err
    assert "archive: no boxes" in ran.err


def test_a_failed_ingest_is_one_json_document_on_standard_output(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.ingest_states = [{"state": "FAILED", "errors": [{"message": "no boxes"}]}]
    ran = periscope("--json", "dataset", "push", "dive", kitti)

    assert ran.document["error"]["exit_code"] == ran.code == 1
    [told] = ran.document["error"]["details"]["errors"]
    assert told["message"] == "no boxes"


def test_a_folder_that_is_no_kitti_folder_is_refused_before_anything_is_sent(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    (kitti / "val" / "labels").rename(kitti / "val" / "lables")
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 2
    assert "val/labels missing" in ran.err
    assert services.requests == []


def test_an_archive_goes_as_it_is(periscope: Periscope, services: FakeServices, tmp_path: Path) -> None:
    archive = tmp_path / "dive.zip"
    archive.write_bytes(b"PK" * 5000)
    periscope("dataset", "push", "dive", archive)

    assert services.uploaded() == archive.read_bytes()


def test_a_service_that_is_away_for_a_moment_costs_nothing(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.answer_503 = 2
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 0


def test_an_unknown_dataset_is_named(periscope: Periscope) -> None:
    ran = periscope("dataset", "show", "dive-13")

    assert ran.code == 4
    assert "there is no dataset 'dive-13'" in ran.err


def test_warnings_of_the_ingest_are_told(periscope: Periscope, services: FakeServices, kitti: Path) -> None:
    warning = {"file": "train/images/0.jpg", "line": None, "message": "no label", "advice": "add one"}
    services.ingest_states = [
        {"state": "SUCCEEDED", "version": 1, "warnings": [warning], "warning_count": 12, "errors": []}
    ]
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 0
    assert "12 warning(s):\n  train/images/0.jpg: no label\n      add one\n  and 11 more" in ran.err


def test_an_ingest_is_waited_for_while_its_service_restarts(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.ingest_states = [{"state": "QUEUED"}, {"state": "RUNNING"}, {"state": "SUCCEEDED", "version": 1}]
    services.answer_503_to_ingests = 7
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 0
    assert "no answer, trying on" in ran.err


def test_the_lint_is_told_with_why_and_what_to_do(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    finding = {
        "severity": "error",
        "code": "leak",
        "count": 3,
        "examples": [],
        "message": "3 leak",
        "why": "It lies.",
        "advice": "Split.",
    }
    services.ingest_states = [{"state": "SUCCEEDED", "version": 1, "findings": [finding]}]
    ran = periscope("dataset", "push", "dive", kitti)

    assert "error leak: 3 leak\n      It lies. Split.\ntraining is refused" in ran.err


def test_an_export_of_another_tool_is_packed_as_it_is(
    periscope: Periscope, services: FakeServices, tmp_path: Path
) -> None:
    for name in ("data.yaml", "valid/images/a.png", "valid/labels/a.txt", "train/notes.doc"):
        (tmp_path / "yolo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "yolo" / name).write_bytes(b"x")
    ran = periscope(
        "dataset", "push", "dive", tmp_path / "yolo", "--val-ratio", "0.2", "--group-by", "folder"
    )

    assert ran.code == 0, ran.err
    with tarfile.open(fileobj=io.BytesIO(services.uploaded())) as tar:
        assert tar.getnames() == ["data.yaml", "valid/images/a.png", "valid/labels/a.txt"]
    (body,) = services.bodies("POST", f"/v1/datasets/{ulid(1)}/uploads/{ulid(100)}:finalize")
    assert body["options"] == {"val_ratio": 0.2, "group_by": "folder"}


def test_an_export_is_fetched_in_the_form_that_was_asked_for(
    periscope: Periscope, services: FakeServices, kitti: Path, tmp_path: Path
) -> None:
    periscope("dataset", "push", "dive", kitti)

    ran = periscope("dataset", "export", "dive", "--format", "coco")

    assert (ran.code, ran.out) == (0, "dive-v7-coco.zip\n")
    assert (tmp_path / "dive-v7-coco.zip").read_bytes() == services.zip
    assert services.export_forms == ["coco"]


def test_an_export_that_cannot_be_written_says_where(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    periscope("dataset", "push", "dive", kitti)

    ran = periscope("dataset", "export", "dive", "-o", "no/such/folder.zip")

    assert ran.code != 0
    assert "no/such/folder.zip cannot be written" in ran.err


def test_a_push_that_was_broken_off_sends_only_what_is_missing(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.refuse_puts_after = 2
    assert periscope("dataset", "push", "dive", kitti).code != 0
    services.refuse_puts_after = None
    ((upload_id, parts),) = services.uploads.items()
    arrived = set(parts)
    assert len(arrived) == 2
    services.puts.clear()

    ran = periscope("dataset", "push", "dive", kitti)

    assert (ran.code, list(services.uploads)) == (0, [upload_id])
    assert {number for _, number in services.puts} == set(parts) - arrived
    with tarfile.open(fileobj=io.BytesIO(services.uploaded())) as tar:
        assert len(tar.getnames()) == 12


def test_what_arrived_and_is_not_of_this_file_is_sent_again(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.refuse_puts_after = 2
    periscope("dataset", "push", "dive", kitti)
    services.refuse_puts_after = None
    (parts,) = services.uploads.values()
    damaged = min(parts)
    parts[damaged] = bytes(len(parts[damaged]))

    periscope("dataset", "push", "dive", kitti)

    with tarfile.open(fileobj=io.BytesIO(services.uploaded())) as tar:
        assert len(tar.getnames()) == 12


def test_an_upload_of_other_bytes_of_the_same_size_is_left_alone(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    periscope("dataset", "push", "dive", kitti)
    (others,) = services.uploads
    announced = {"filename": "dive.tar", "size_bytes": len(services.uploaded()), "sha256": "0" * 64}
    services.announced[others], services.uploads[others] = announced, {}

    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 0
    _, own = services.uploads
    assert services.uploads[others] == {}
    assert services.uploads[own]


def test_what_somebody_else_finalized_in_the_meantime_is_sent_anew(
    periscope: Periscope, services: FakeServices, kitti: Path
) -> None:
    services.refuse_puts_after = 2
    periscope("dataset", "push", "dive", kitti)
    (first,) = services.uploads
    services.no_such_uploads.add(first)
    services.refuse_puts_after = None

    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 0
    assert len(services.uploads[first]) == 2
    _, second = services.uploads
    assert len(services.uploads[second]) > 2


def test_parts_are_sent_several_at_once(
    periscope: Periscope, services: FakeServices, kitti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, put_part = threading.Barrier(2, timeout=20), client._put_part

    def together(url: str, body: Any) -> None:
        if url.endswith(("/1", "/2")):
            both.wait()
        put_part(url, body)

    monkeypatch.setattr(client, "_put_part", together)

    assert periscope("dataset", "push", "dive", kitti).code == 0


def test_of_what_has_no_known_length_the_progress_tells_how_much_came() -> None:
    stream, now = io.StringIO(), [0.0]
    show = ProgressLine(stream, monotonic=lambda: now[0]).bytes_done("export")
    for second in range(1, 31):
        now[0] = float(second)
        show(second * 1_000_000, 0)

    assert stream.getvalue().splitlines() == ["export  1.0 MB, 1.0 MB/s", "export  16.0 MB, 1.0 MB/s"]
