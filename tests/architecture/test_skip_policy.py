"""The skip policy itself: no test may be left out in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skip_policy import read_allowed_skips, reason_allowing

pytestmark = pytest.mark.slow

PLUGIN = "tests.skip_policy"


def test_a_line_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_allowed_skips("tests/a.py::test_b | needs a GPU\ntests/a.py::test_c\n")


def test_a_pattern_covers_the_tests_it_matches_only() -> None:
    allowed = read_allowed_skips("# comment\ntests/gpu/* | needs a CUDA device\n")

    assert reason_allowing("tests/gpu/test_x.py::test_y", allowed) == "needs a CUDA device"
    assert reason_allowing("tests/unit/test_x.py::test_y", allowed) is None


def test_an_unexplained_skip_fails_the_run(tmp_path: Path) -> None:
    result = run_pytest(
        tmp_path, "import pytest\ndef test_it() -> None:\n    pytest.skip('no reason listed')\n"
    )

    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "SKIP NOT ALLOWED" in result.stdout


def test_a_run_without_skips_passes(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "def test_it() -> None:\n    assert True\n").returncode == 0


def run_pytest(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        check=False,
    )
