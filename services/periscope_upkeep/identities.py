"""Who may do what on a SeaweedFS: the file ``s3.json`` that its server reads at start."""

from __future__ import annotations

from typing import Any

from periscope.access import trainer_seaweedfs_actions
from periscope_upkeep.settings import UserKey

SERVICES_ACTIONS = ("Admin", "Read", "List", "Tagging", "Write")
"""Admin, because the bootstrap makes bucket and lifecycle with the same key."""


def identities(bucket: str, services: UserKey, trainer: UserKey) -> dict[str, Any]:
    """The services with all rights, and the trainings' narrow key."""
    return {
        "identities": [
            _identity("services", services, list(SERVICES_ACTIONS)),
            _identity("trainer", trainer, trainer_seaweedfs_actions(bucket)),
        ]
    }


def _identity(name: str, key: UserKey, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": key.access_key_id, "secretKey": key.secret_access_key}]
    return {"name": name, "credentials": credentials, "actions": actions}
