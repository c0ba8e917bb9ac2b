"""How training Jobs look on Kubernetes: what the chart decides, and what a job may narrow.

The chart hands it over as one JSON object in ``PERISCOPE_KUBERNETES``. A job's own ``resources`` can ask for
less than what stands here, never for more, and never for another place, image or account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from kubernetes.utils import parse_quantity
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from periscope.settings import SettingsError, required

VARIABLE = "PERISCOPE_KUBERNETES"
STORE_VARIABLES = ("S3_ENDPOINT", "S3_BUCKET", "S3_REGION")
"""What a run sees of the service's own environment; the keys to the store come from a Secret, by name."""
QUANTITIES = ("cpu", "memory", "shared_memory", "scratch")
COUNTS = ("gpus", "nodes", "max_runtime_s")
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def _amount(text: str) -> Decimal:
    return Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]


def _is_quantity(text: str) -> str:
    if _amount(text) <= 0:
        raise ValueError("must be above zero")
    return text


Quantity = Annotated[str, AfterValidator(_is_quantity)]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]


class KubernetesSettings(BaseModel):
    """Everything of a training Job that is not the job's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: DnsName
    """Holds training Jobs, and no Secret but the trainer's store key."""

    instance: DnsName = "periscope"
    """Tells two installations in one namespace apart."""

    image: str = Field(pattern=r"(^|@)sha256:[0-9a-f]{64}$")
    """The training program, by digest: a moved tag must not change what a resumed job runs."""

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[DnsName, ...] = ()
    command: tuple[str, ...] = Field(("python", "-m", "detectnet_trainer"), min_length=1)
    """Program and first arguments, never a shell line: SIGTERM must reach the training program."""

    env: Mapping[str, str] = {}
    """Further variables of the training program."""

    store_secret: DnsName
    """Secret with ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` of the trainer's own store user."""

    service_account: DnsName = "default"
    """Has no rights and no token in the pod."""

    user_id: int = Field(10001, ge=1)
    gpus: int = Field(1, ge=0, le=64)
    """For each pod; 0 trains on the CPU."""

    gpu_resource: str = "nvidia.com/gpu"
    cpu: Quantity = "2"
    memory: Quantity = "8Gi"
    shared_memory: Quantity = "2Gi"
    """In memory, where data loaders hand on batches; counts against ``memory``."""

    scratch: Quantity = "50Gi"
    """The trainer's copy of the data set, on the node."""

    node_selector: Mapping[str, str] = {}
    tolerations: tuple[Mapping[str, Any], ...] = (
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    )
    runtime_class: DnsName | None = None
    priority_class: DnsName | None = None
    queue: DnsName | None = None
    """Kueue's local queue; with it Kueue, not this service, decides when a run begins."""

    nodes: int = Field(1, ge=1, le=64)
    """Pods of one training; more than one train together."""

    max_preemptions: int = Field(20, ge=0)
    """Times that a job may be taken away by its surroundings before it is given up."""

    max_runtime_s: int | None = Field(None, ge=60)
    stop_grace_s: int = Field(120, ge=1)
    """From SIGTERM to SIGKILL; must be enough for a checkpoint and its upload."""

    ttl_s: int = Field(604_800, ge=60)
    """A backstop: the service deletes a Job itself once its log is archived."""

    may_be_moved: bool = False
    """Whether autoscalers may end a training to tidy up; true on preemptible nodes."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> KubernetesSettings:
        """Read the JSON object. Raises SettingsError naming what makes no sense."""
        text = required(environ, VARIABLE)
        try:
            values = json.loads(text)
            given = {name: environ[name] for name in STORE_VARIABLES if environ.get(name)}
            return cls.model_validate({**values, "env": {**given, **values.get("env", {})}})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"{VARIABLE}: {where}: {first['msg']}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise SettingsError(f"{VARIABLE} must be a JSON object: {error}") from error


def exceeding(settings: KubernetesSettings, wish: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of a job's ``resources`` is more than the settings allow: (field, a sentence) of each."""
    asked = {name: wish[name] for name in (*QUANTITIES, *COUNTS) if name in wish}
    limits = {name: limit for name in asked if (limit := getattr(settings, name)) is not None}
    return [
        (name, f"{name} {asked[name]} is more than the {limit} that an administrator allows.")
        for name, limit in limits.items()
        if _amount(str(asked[name])) > _amount(str(limit))
    ]


def narrowed(settings: KubernetesSettings, wish: Mapping[str, Any]) -> KubernetesSettings:
    """The settings with a job's ``resources`` applied where they ask for less; the rest is not the job's."""
    changes: dict[str, Any] = {}
    for name in QUANTITIES:
        if name in wish and _amount(str(wish[name])) < _amount(getattr(settings, name)):
            changes[name] = _is_quantity(str(wish[name]))
    for name in ("gpus", "nodes"):
        if name in wish:
            changes[name] = min(int(wish[name]), getattr(settings, name))
    if "max_runtime_s" in wish:
        asked = int(wish["max_runtime_s"])
        changes["max_runtime_s"] = min(asked, settings.max_runtime_s or asked)
    return settings.model_copy(update=changes)
