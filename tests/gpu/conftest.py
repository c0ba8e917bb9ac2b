"""The device under test: a CUDA one, or with ``TEST_DEVICE=cpu`` the processor, to try the tests themselves."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Raises an error where there is none: nothing here is skipped quietly."""
    name = os.environ.get("TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.fail("no CUDA device: these tests are for machines with a GPU")
    return torch.device(name)
