"""Jobs as the tests write them: restricted, non-root, read-only, so that Pod Security lets them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

USER_ID = 1000
FAIL_ON_65_IGNORE_EVICTIONS = {
    "rules": [
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [65]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
}


def restricted_pod(
    command: Sequence[str],
    image: str = "localhost/busybox:test",
    resources: Mapping[str, Any] | None = None,
    **pod_fields: Any,
) -> dict[str, Any]:
    """A pod spec with one container, ``main``, that the ``restricted`` level accepts."""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "Never",
                "command": list(command),
                "resources": dict(resources or {}),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        **pod_fields,
    }


def job(name: str, pod: Mapping[str, Any], **job_fields: Any) -> dict[str, Any]:
    """A Job around a pod spec, with Kubernetes' own field names."""
    return {"metadata": {"name": name}, "spec": {"template": {"spec": dict(pod)}, **job_fields}}
