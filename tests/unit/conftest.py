"""What makes thousands of small tests quick: each builds its own application, none the same schema twice."""

from __future__ import annotations

import copy
import functools
import gc
from typing import Any

import flask_openapi3.utils
import pytest
from pydantic import BaseModel

_make = functools.cache(flask_openapi3.utils.get_model_schema)


def _get_model_schema(model: type[BaseModel], mode: Any = "validation") -> dict[str, Any]:
    return copy.deepcopy(_make(model, mode))


flask_openapi3.utils.get_model_schema = _get_model_schema


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare the garbage collector what the imports left, PyTorch's above all: it looked at all of it again and again."""
    gc.collect()
    gc.freeze()
