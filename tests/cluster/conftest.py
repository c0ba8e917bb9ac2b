"""Fixtures of the tests that need a real Kubernetes; the programs are built before the first test runs.

The folder is collected only when it is asked for, by path or by ``-m cluster``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from kubernetes import client

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import ControlPlane
from tests.cluster.helm_program import ensure_helm
from tests.cluster.pretend_node import PretendNode
from tests.cluster.programs import Program
from tests.cluster.sandbox import Sandbox

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out of a run that did not ask for it."""
    if collection_path != HERE and HERE not in collection_path.parents:
        return None
    asked = [Path(str(argument).split("::")[0]).resolve() for argument in config.args]
    named = any(path == HERE or HERE in path.parents for path in asked)
    return None if named or "cluster" in config.option.markexpr else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in here needs the cluster."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before the first test, so that no test's time limit counts the build."""
    if session.config.option.collectonly or not any(HERE in item.path.parents for item in session.items):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    say: Callable[[str], None] = reporter.write_line if reporter is not None else print
    programs.ensure(wanted_programs(session.items), say)
    if needs_node(session.items):
        ensure_helm()


def needs_node(items: Iterable[pytest.Item]) -> bool:
    """Whether a test asks for the real node."""
    return _asks_for("node_programs", items)


def _asks_for(fixture: str, items: Iterable[pytest.Item]) -> bool:
    return any(fixture in getattr(item, "fixturenames", ()) for item in items)


def wanted_programs(items: Iterable[pytest.Item]) -> Mapping[str, Program]:
    """What has to be built for these tests."""
    items = list(items)
    return {
        **(programs.CONTROL_PLANE if _asks_for("control_plane_programs", items) else {}),
        **(programs.NODE if needs_node(items) else {}),
        **(programs.STORE if _asks_for("minio_program", items) else {}),
        **(programs.COMPOSE if _asks_for("compose_program", items) else {}),
    }


@pytest.fixture(scope="session")
def control_plane_programs() -> Mapping[str, Path]:
    return programs.ensure(programs.CONTROL_PLANE)


@pytest.fixture(scope="session")
def node_programs(control_plane_programs: Mapping[str, Path]) -> Mapping[str, Path]:
    return {**control_plane_programs, **programs.ensure(programs.NODE)}


@pytest.fixture(scope="session")
def minio_program() -> Path:
    return programs.ensure(programs.STORE)["minio"]


@pytest.fixture(scope="session")
def compose_program() -> Path:
    return programs.ensure(programs.COMPOSE)["compose"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A private corner for one test, gone at its end."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def control_plane(control_plane_programs: Mapping[str, Path]) -> Iterator[ControlPlane]:
    """A control plane for the whole run; tests keep apart by namespaces."""
    with Sandbox() as sandbox:
        plane = ControlPlane(sandbox, control_plane_programs)
        plane.start()
        yield plane


@pytest.fixture
def fresh_control_plane(sandbox: Sandbox, control_plane_programs: Mapping[str, Path]) -> ControlPlane:
    """A control plane for one test, which may break it."""
    plane = ControlPlane(sandbox, control_plane_programs)
    plane.start()
    return plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A fresh namespace that enforces the ``restricted`` Pod Security level."""
    return control_plane.make_namespace(f"test-{secrets.token_hex(4)}")


@pytest.fixture
def pretend_node(control_plane: ControlPlane) -> Iterator[PretendNode]:
    """A node that the test plays."""
    node = PretendNode(control_plane.api(), f"pretend-{secrets.token_hex(4)}")
    node.join()
    yield node
    node.leave()


@pytest.fixture
def batch(control_plane: ControlPlane) -> client.BatchV1Api:
    return client.BatchV1Api(control_plane.api())


@pytest.fixture
def core(control_plane: ControlPlane) -> client.CoreV1Api:
    return client.CoreV1Api(control_plane.api())


@pytest.fixture(scope="session")
def cluster(node_programs: Mapping[str, Path]) -> Iterator[Cluster]:
    """A control plane with a real node for the whole run; tests keep apart by namespaces."""
    with Sandbox() as sandbox:
        yield Cluster.start(sandbox, node_programs, ensure_helm())


@pytest.fixture
def cluster_namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace on the real cluster that enforces ``restricted``; its pods are told to go at its end."""
    name = cluster.plane.make_namespace(f"test-{secrets.token_hex(4)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
