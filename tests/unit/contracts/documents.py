"""The OpenAPI documents: as the services make them now, and as they stand in docs/openapi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask_openapi3 import OpenAPI

from periscope_dataset.app import create_service as dataset_service
from periscope_dataset.settings import Settings as DatasetSettings
from periscope_registry.app import create_app as registry_app
from periscope_registry.settings import Settings as RegistrySettings
from tests.fakes import MemoryStore
from tests.unit.periscope_training.service import Service as TrainingService

FOLDER = Path(__file__).parents[3] / "docs" / "openapi"


def current_documents(work_dir: Path) -> dict[str, dict[str, Any]]:
    """By service; nothing listens and nothing is stored."""
    apps: dict[str, OpenAPI] = {
        "dataset": dataset_service(DatasetSettings(work_dir, "admin"), MemoryStore(), "holder").app,
        "training": TrainingService(work_dir).service.app,
        "registry": registry_app(RegistrySettings("admin", work_dir), MemoryStore()),
    }
    return {name: app.test_client().get("/openapi.json").get_json() for name, app in apps.items()}


def as_text(document: dict[str, Any]) -> str:
    """As it is written: one form for equal content. The program's version is not part of the promise."""
    stable = document | {"info": {key: value for key, value in document["info"].items() if key != "version"}}
    return json.dumps(stable, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def written(name: str) -> str:
    """What stands in docs/openapi; empty before the first time."""
    path = FOLDER / f"{name}.json"
    return path.read_text() if path.exists() else ""
