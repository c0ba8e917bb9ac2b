from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ASK = (
    "import sys, os, detectnet_trainer.__main__ as command; loaded = 'torch' in sys.modules; "
    "code = command.main(['predict', 'nowhere', 'nothing.png']); "
    "print(loaded, 'torch' in sys.modules, os.environ['OMP_WAIT_POLICY'], code)"
)


def answer(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_threads_wait_without_spinning_and_that_is_settled_before_torch_is_loaded() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}

    assert answer(environ) == "False True PASSIVE 1"


def test_who_wants_them_to_spin_may_say_so() -> None:
    assert answer({**os.environ, "OMP_WAIT_POLICY": "ACTIVE"}) == "False True ACTIVE 1"
