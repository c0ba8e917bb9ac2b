from __future__ import annotations

import pytest

from periscope_training.error_report import MAX_REPORT_BYTES, ErrorReport, parse_error_report


def test_the_last_line_of_the_log_is_the_report() -> None:
    log = b'step 1\n{"error": "No boxes.", "code": "no_boxes", "advice": "Label something."}\n\n'

    assert parse_error_report(log) == ErrorReport("No boxes.", "no_boxes", "Label something.")


def test_code_and_advice_may_be_missing() -> None:
    assert parse_error_report(b'{"error": "Out of luck.", "advice": null}') == ErrorReport("Out of luck.")


@pytest.mark.parametrize(
    "log",
    [b"", b"\n\n", b"Segmentation fault", b"[1, 2]", b'{"error": ""}', b'{"err', b"\xff\xfe\x00", b'"error"'],
)
def test_any_other_last_line_is_no_report(log: bytes) -> None:
    assert parse_error_report(log) is None


def test_an_endless_line_is_no_report() -> None:
    log = b'{"error": "' + b"x" * MAX_REPORT_BYTES + b'"}'

    assert parse_error_report(log) is None
