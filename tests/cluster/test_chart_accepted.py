"""Every object of every configuration, given to a real API server: strictly, and under Pod Security `restricted`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.charts.rendering import CASES, CHART, Manifest, of_kind, pod_specs, rendered
from tests.cluster.control_plane import ControlPlane
from tests.cluster.custom_kinds import install_custom_kinds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EVERYTHING = CHART / "ci" / "everything.yaml"
NAMESPACES = ("app", "periscope-trainings")


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    install_custom_kinds(control_plane)
    for name in NAMESPACES:
        control_plane.make_namespace(name)
    return control_plane


class Refused(Exception):
    """The API server's own words."""


def accept(plane: ControlPlane, objects: list[Manifest]) -> list[str]:
    """What the API server says of each when it is asked to make them, all but for real. Raises Refused."""
    items = [{**one, "metadata": {"namespace": "app", **one["metadata"]}} for one in objects]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    try:
        told = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=listed)
    except subprocess.CalledProcessError as error:
        raise Refused(error.stderr) from error
    return told.splitlines()


def as_pod(spec: dict[str, Any], number: int) -> Manifest:
    """Pod Security judges pods, not what makes them; volumes of claims are left to the StatefulSet."""
    claimed = [{"name": "data", "emptyDir": {}}] if "weed" in spec["containers"][0]["name"] else []
    # The accounts are the chart's own, and not there in a dry run.
    spec = {**spec, "serviceAccountName": "default", "volumes": [*spec.get("volumes", []), *claimed]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": spec}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_object_is_accepted(plane: ControlPlane, case: Path) -> None:
    objects = [one for one in rendered(case) if one["kind"] != "Namespace"]
    told = accept(plane, objects)

    assert len(told) == len(objects)
    assert all(line.endswith("created (server dry run)") for line in told)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_pod_is_accepted_by_a_restricted_namespace(plane: ControlPlane, case: Path) -> None:
    pods = [as_pod(spec, number) for number, spec in enumerate(pod_specs(rendered(case)))]

    assert len(accept(plane, pods)) == len(pods) >= 4


@pytest.mark.parametrize("kind", ["Deployment", "Job", "HTTPRoute", "ServiceMonitor", "PrometheusRule"])
def test_a_field_that_the_kind_does_not_have_would_be_refused(plane: ControlPlane, kind: str) -> None:
    one = of_kind(rendered(EVERYTHING), kind)[0]

    with pytest.raises(Refused, match="unknown field"):
        accept(plane, [{**one, "spec": {**one["spec"], "unheardOf": 1}}])


def test_a_pod_that_is_not_restricted_would_be_refused(plane: ControlPlane) -> None:
    spec = pod_specs(rendered(EVERYTHING))[0]

    with pytest.raises(Refused, match="violates PodSecurity"):
        accept(plane, [as_pod({**spec, "securityContext": {}}, 0)])
