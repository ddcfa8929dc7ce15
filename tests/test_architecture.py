"""The rules of the house are kept, and each is seen to bite where it is broken on a copy."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

import service.__main__  # noqa: F401 - brings in every table
from service.database import Database, finder_of, log_metadata, metadata

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "service", "training")
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 40

PLANTED = {
    "training and service never meet; models knows neither": [
        ("training/errors.py", "import service.clock"),
        ("service/clock.py", "import training.errors"),
        ("models/insight.py", "import training.errors"),
        ("models/watched.py", "import service.settings"),
    ],
    "the floors of models": [
        ("models/features/sequence.py", "import models.insight"),
        ("models/journey/target.py", "import models.confidence.arrays"),
        ("models/journey/target.py", "def late() -> None:\n    import models.bundle"),
    ],
    "the floors of training": [
        ("training/splits.py", "import training.pipeline"),
        ("training/errors.py", "import training.losses"),
    ],
    "the floors of service": [
        ("service/events/store.py", "import service.insights.store"),
        ("service/live/bundles.py", "import service.access.keys"),
    ],
    "serving never needs what fits: torch, transformers, scikit-learn, mlflow, pandas": [
        ("models/insight.py", "import pandas"),
        ("service/clock.py", "import models.nets.feedback"),
    ],
    "MLflow has one door": [("training/simulator/company.py", "import mlflow")],
}
"""What breaks each contract, and no other: (file, line added to its end)."""


def broken(folder: Path) -> set[str]:
    """The contracts that import-linter finds broken."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    verdicts = {one["name"]: re.search(re.escape(one["name"]) + r"\s*(KEPT|BROKEN)", said.stdout) for one in CONTRACTS}
    assert all(verdicts.values()), said.stdout + said.stderr
    found = {name for name, verdict in verdicts.items() if verdict and verdict[1] == "BROKEN"}
    assert said.returncode == bool(found)
    return found


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three packages and their contracts, to be broken."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def restored(copy: Path) -> Iterator[Path]:
    """The copy, whole again afterwards."""
    kept = {path: path.read_bytes() for path in copy.rglob("*.py")}
    yield copy
    for path in copy.rglob("*.py"):
        path.write_bytes(kept[path]) if path in kept else path.unlink()


def test_every_contract_is_kept() -> None:
    assert broken(ROOT) == set()


def test_every_contract_has_a_violation_to_be_seen_with() -> None:
    assert {contract["name"] for contract in CONTRACTS} == PLANTED.keys()


@pytest.mark.parametrize(
    ("contract", "file", "line"), [(name, *planted) for name, several in PLANTED.items() for planted in several]
)
def test_a_broken_contract_is_named(contract: str, file: str, line: str, restored: Path) -> None:
    with (restored / file).open("a") as source:
        source.write(f"\n\n{line}\n")
    assert broken(restored) - broken(ROOT) == {contract}


@pytest.mark.parametrize("contract", [one for one in CONTRACTS if one.get("exhaustive")], ids=lambda one: one["name"])
def test_a_module_without_a_floor_is_refused(contract: dict[str, Any], restored: Path) -> None:
    for container in contract["containers"]:
        (restored / container / "newcomer.py").write_text('"""On no floor."""\n')
    assert broken(restored) - broken(ROOT) == {contract["name"]}


def test_every_package_gives_each_of_its_modules_a_floor() -> None:
    exhaustive = {container for one in CONTRACTS if one.get("exhaustive") for container in one["containers"]}
    assert exhaustive == set(PACKAGES)


@cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the product, parsed."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in files}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of its statements: a signature (a command's options) and a docstring are looked up, not followed."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def test_no_file_is_too_long_to_be_told_as_one_thing() -> None:
    lengths = {file: (ROOT / file).read_text("utf-8").count("\n") for file in sources()}
    assert {file: lines for file, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long_to_be_told_as_one_thing() -> None:
    long = {
        f"{file}:{node.lineno} {node.name}": code_lines(node)
        for file, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_every_module_says_what_it_does() -> None:
    assert [file for file, tree in sources().items() if not ast.get_docstring(tree)] == []


def test_no_import_hides_behind_a_type_check() -> None:
    hidden = [
        f"{file}: {ast.unparse(node)}"
        for file, tree in sources().items()
        for node in ast.walk(tree)
        if "TYPE_CHECKING" in (getattr(node, "id", None), getattr(node, "attr", None))
    ]
    assert hidden == []


def test_nothing_is_ever_unpickled() -> None:
    """Not by a module of its own, and not by the loaders that unpickle on the quiet."""
    modules, calls = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}, {"torch.load", "torch.save"}
    found = []
    for file, tree in sources().items():
        found += [f"{file}:{line} {name}" for line, name in imported(tree) if name.partition(".")[0] in modules]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (ast.unparse(node) in calls or node.attr.endswith("_pickle")):
                found.append(f"{file}:{node.lineno} {ast.unparse(node)}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                found.append(f"{file}:{node.lineno} allow_pickle")
    assert found == []


def done_at_import(folder: Path, modules: list[str], cwd: Path) -> list[str]:
    command = [sys.executable, "-B", str(ROOT / "tests" / "at_import.py"), str(folder), *modules]
    said = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """No file, folder or connection is made, no environment read, no logging set: in any module."""
    names = [file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in sources()]
    assert done_at_import(ROOT, [name for name in names if ".versions." not in name], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "deed"),
    [
        ("open('made', 'w')", "open"),
        ("os.makedirs('made')", "os.mkdir"),
        ("os.environ.get('HOME')", "environment"),
        ("dict(os.environ)", "environment"),
        ("logging.basicConfig()", "logging"),
        ("sqlite3.connect(':memory:')", "sqlite3.connect"),
    ],
)
def test_what_happens_at_import_is_seen(line: str, deed: str, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(f"import logging, os, sqlite3\n{line}\n")
    assert any(deed in told for told in done_at_import(tmp_path, ["busy"], tmp_path))


def test_the_databases_hold_no_table_that_declares_nothing(tmp_path: Path) -> None:
    """Each table declares how it is exported and erased; here, that none lives in the migrations alone."""
    for name, declared in (("log", log_metadata), ("service", metadata)):
        database = Database.open(tmp_path, "log" if name == "log" else "service")
        there = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
        database.close()
        assert there == declared.tables.keys()
        for table in declared.tables.values():
            assert set(table.info) in ({"exported", "erased", "rows", "json_columns"}, {"holds_nothing"}), table.name
            assert (finder_of(table) is None) == ("holds_nothing" in table.info)
