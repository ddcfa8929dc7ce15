"""The documentation is true: every setting, command, option, flag, error code and metric is in it and no other, links
lead somewhere, and the examples marked `run` give what they show against a real service."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from typer.main import get_command

from models.insight import FLAGS
from scripts import reference
from service.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
REFERENCE = (DOCS / "reference.md").read_text("utf-8")
COMMANDS = (DOCS / "commands.md").read_text("utf-8")
AT = "http://127.0.0.1:8000"
"""Where the examples say that the service is."""

FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"python -m (?:service|training)\b[^`\n|;&#)]*")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def section(title: str) -> str:
    """One section of the reference, up to the next heading."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def first_cells(text: str) -> list[str]:
    """What stands in backticks at the beginning of each row of a table."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_tables_are_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text("utf-8")
    assert page == reference.filled(page), "run `python scripts/reference.py`"


def test_every_setting_flag_and_metric_is_in_the_reference() -> None:
    assert first_cells(section("Settings")) == [f"JOURNEY_{name.upper()}" for name in Settings.model_fields]
    assert first_cells(section("Flags")) == list(FLAGS)
    assert first_cells(section("Metrics")) == [name for name, *_ in reference.measured()]


def test_every_command_with_every_option_is_on_its_page() -> None:
    parts = re.split(r"^### `([^`]+)`$", COMMANDS, flags=re.MULTILINE)[1:]
    told = {" ".join(word for word in heading.split() if not word.isupper()): first_cells(text)
            for heading, text in zip(parts[::2], parts[1::2], strict=True)}  # fmt: skip
    existing = {path: options(command) for path, command in reference.all_commands()}
    assert told.keys() == existing.keys()
    for path, cells in told.items():
        assert {word for cell in cells for word in cell.split(" / ") if word.startswith("--")} == existing[path], path


def options(command: Any) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}


def codes_in_source() -> tuple[set[str], set[str]]:
    """Codes of problems, and codes of single refused events, as they are written in the code."""
    problems, refusals = set[str](), set[str]()
    for path in (*(ROOT / "service").rglob("*.py"), ROOT / "models" / "review.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", "")
                first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
                if called == "RefusedError":
                    refusals.add(str(first))
                elif called == "ReviewError":
                    problems.add(str(first))
                problems |= {str(one.value.value) for one in node.keywords
                             if one.arg == "code" and isinstance(one.value, ast.Constant)}  # fmt: skip
            elif isinstance(node, ast.ClassDef):
                problems |= set(class_codes(node))
    return problems, refusals


def class_codes(node: ast.ClassDef) -> Iterator[str]:
    """`code = "…"`, and `status, code, title = …, "…", "…"`, in the tree of errors."""
    for one in node.body:
        if isinstance(one, ast.Assign):
            target = one.targets[0]
            names = [getattr(t, "id", "") for t in target.elts] if isinstance(target, ast.Tuple) else [
                getattr(target, "id", "")]  # fmt: skip
            values = one.value.elts if isinstance(one.value, ast.Tuple) else [one.value]
            if "code" in names and isinstance(value := values[names.index("code")], ast.Constant):
                yield str(value.value)


def test_every_error_code_is_in_the_reference_and_no_other() -> None:
    problems, refusals = codes_in_source()
    assert len(problems) > 30
    assert set(first_cells(section("Error codes"))) == problems
    assert set(first_cells(section("Refused events"))) == refusals


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def calls_in(page: Path) -> Iterator[str]:
    """Every call of our commands on a page, continuation lines joined."""
    text = re.sub(r"\\\n\s*>?\s*", " ", page.read_text("utf-8"))
    yield from (call.strip() for call in CALL.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    for call in calls_in(page):
        words = shlex.split(call.replace("'", "").replace('"', ""))
        command = get_command(reference.APPS[words[2]])
        for word in words[3:]:
            inner: Mapping[str, Any] = getattr(command, "commands", {})
            if word.startswith("--"):
                assert word.partition("=")[0] in options(command) | {"--help"}, call
            elif inner and re.fullmatch(r"[a-z][a-z-]*", word):
                assert word in inner, f"{call!r}: allowed: {', '.join(inner)}"
                command = inner[word]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Containerfile"], ids=named)
def test_every_setting_and_metric_that_is_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(r"\bJOURNEY_([A-Z_]+)\b", text):
        assert name.lower() in Settings.model_fields, name
    known = {name for name, *_ in reference.measured()}
    for name in re.findall(r"\bjourney_[a-z_]+", text):
        if name not in ("journey_", "journey_insight"):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in known, name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_examples_can_be_read(page: Path) -> None:
    for language, code in FENCED.findall(page.read_text("utf-8")):
        if language.startswith("python"):
            ast.parse(code)
        elif language == "json":
            json.loads(code)


def test_the_containerfile_copies_and_starts_what_exists() -> None:
    lines = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
    words = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith(("ENTRYPOINT", "CMD"))]
    assert words[0] == ["python", "-m", "service"]
    served = dict(reference.all_commands())[f"python -m service {words[1][0]}"]
    assert set(words[1][1:]) <= options(served)
    (check,) = (line for line in lines if line.startswith("HEALTHCHECK"))
    ast.parse(json.loads(check[check.index("[") :])[2])
    assert "USER 10001" in lines


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A service without a bundle, and a shell's folder and environment beside it, with a key of each kind."""
    if shutil.which("curl") is None:
        pytest.fail("curl is missing") if os.environ.get("CI") == "true" else pytest.skip("curl is missing")
    folder = tmp_path_factory.mktemp("shell")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "JOURNEY_DATA_DIR": str(folder / ".data"), "JOURNEY_MLRUNS_DIR": str(folder / "mlruns"), "JOURNEY_PORT": port,
        "COLUMNS": "150", "no_proxy": "127.0.0.1", "JOURNEY_WEBHOOK_PRIVATE": "true",
    }  # fmt: skip
    for name, scope in (("WRITE_KEY", "ingest"), ("READ_KEY", "read"), ("ADMIN_KEY", "admin")):
        command = [sys.executable, "-m", "service", "keys", "create", "--name", name, "--scope", scope, "--json"]
        made = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        environment[name] = json.loads(made.stdout)["key"]
    command = [sys.executable, "-m", "service", "serve", "--with-worker"]
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as service:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz")
            yield folder, environment
        finally:
            service.terminate()


INTERPRETERS = {"python": [sys.executable, "-c"], "js": ["node", "--input-type=module", "-e"]}


def wait_until_ready(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            sleep(0.05)
    raise AssertionError("the service did not start")


def marked(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page that are to be run: language and code."""
    return [(info.split()[0], code) for info, code in FENCED.findall(page.read_text("utf-8")) if info.endswith(" run")]


def commands_of(code: str) -> Iterator[tuple[str, str]]:
    """Each `$ command` of a console block with its `> ` lines, and the output that is shown below it."""
    for one in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        lines = one.splitlines()
        more = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        yield "\n".join([lines[0], *(line[2:] for line in lines[1:more])]), "\n".join(lines[more:]) + "\n"


@pytest.mark.parametrize("page", [page for page in PAGES if marked(page)], ids=named)
def test_examples_give_what_they_show(page: Path, running: tuple[Path, dict[str, str]]) -> None:
    folder, environment = running
    here = f"http://127.0.0.1:{environment['JOURNEY_PORT']}"
    for language, code in marked(page):
        code = code.replace(AT, here).replace("https://crm.example.org", here)
        if language in INTERPRETERS:
            run([*INTERPRETERS[language], code], folder, environment)
            continue
        for command, expected in commands_of(code):
            found = run(["bash", "-ec", command], folder, environment)
            same = OutputChecker().check_output(expected, found, ELLIPSIS | NORMALIZE_WHITESPACE)
            assert same, f"$ {command}\n{found}\nis not\n{expected}"


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_enough_examples_are_run() -> None:
    assert sum(len(marked(page)) for page in PAGES) >= 10
