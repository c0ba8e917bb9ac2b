"""The layout's promises that import contracts cannot see."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 300
MAX_AGENT_LINES = 1250
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
WEB_SERVICES = ("periscope_dataset", "periscope_training", "periscope_registry")

pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
agent = ROOT / "services" / "jetson_agent" / "jetson_agent.py"


def packages() -> set[str]:
    return {
        path.parent.name
        for folder in ("services", "shared")
        for path in (ROOT / folder).glob("*/__init__.py")
    }


def sources() -> list[Path]:
    return sorted(path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_package_is_under_the_import_contracts() -> None:
    assert packages() == set(pyproject["tool"]["importlinter"]["root_packages"])


def test_every_package_is_in_the_wheel() -> None:
    listed = {Path(path).name for path in pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}

    assert listed == packages()


@pytest.mark.parametrize("service", WEB_SERVICES)
def test_each_service_has_the_same_file_names(service: str) -> None:
    names = {path.name for path in (ROOT / "services" / service).iterdir()}

    assert {"app.py", "routes.py", "rules.py", "settings.py"} <= names


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    limit = MAX_AGENT_LINES if path == agent else MAX_FILE_LINES
    long_functions = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert text.count("\n") <= limit
    assert long_functions == []


@pytest.mark.parametrize("path", sources(), ids=relative)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_has_a_vague_name() -> None:
    names = {path.stem for path in sources()} | {path.parent.name for path in sources()}

    assert names.isdisjoint(VAGUE_NAMES)


@pytest.mark.parametrize("path", sorted(agent.parent.glob("*.py")), ids=relative)
def test_what_runs_on_a_robot_imports_the_standard_library_only(path: Path) -> None:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])

    assert roots <= set(sys.stdlib_module_names)


def test_below_job_the_trainer_knows_no_platform() -> None:
    folder = ROOT / "services" / "detectnet_trainer"
    offenders = [
        relative(path)
        for path in folder.glob("*.py")
        if not path.stem.startswith("job") and imports_platform(ast.parse(path.read_text()))
    ]

    assert offenders == []


def imports_platform(tree: ast.Module) -> bool:
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    return any(module.split(".")[0] == "periscope" for module in modules)
