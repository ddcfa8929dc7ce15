"""The examples of the OpenAPI document are answers of a real service: a little world asks every operation once, and
what it is answered is what the document shows.

    JOURNEY_EXAMPLES=mlruns python -m pytest tests/service/test_examples.py

writes service/examples.json anew, with the bundle that is live in that folder (`make run` trains one). Without, the
same is asked of the tests' own small model. All is equal to the letter then but what a model weighs: there types are,
and keys wherever the decision is the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models import ledger
from models.bundle import LoadedBundle, load_bundle
from service.app import create_app
from service.document import EXAMPLES
from service.settings import Settings
from tests.service.fakes import open_house, publish
from tests.service.little_world import story

pytest_plugins = ["tests.trained"]
pytestmark = pytest.mark.timeout(1_200)

RENEW = (
    "renew it: JOURNEY_EXAMPLES=mlruns python -m pytest tests/service/test_examples.py; mlruns: what `make run` left"
)
RENEWED_BY = os.environ.get("JOURNEY_EXAMPLES", "")
MOST_SHOWN = 5
"""Members of a list; the document says that long ones are cut short."""
WEIGHED = frozenset({
    "next_touchpoint", "purchase", "feeling", "channel_preference", "preferred_channel", "concluded", "conclusion",
    "conclusion_id", "changed", "texts", "digest", "rows",
})  # fmt: skip
"""Members in which there is what a model weighs, and what goes by it."""
OF_A_MODEL = frozenset({
    "GET /v1/models", "GET /v1/promises", "GET /v1/forecasts", "GET /v1/reviews", "POST /v1/reviews/claim",
    "GET /v1/reviews/quality", "GET /v1/customers/{customer_id}/export", "GET /v1/jobs/{job_id}/result",
    "GET /v1/audiences/{audience_id}/export",
})  # fmt: skip
"""Operations that tell of nothing else."""
DECIDED = ("decision", "decided_by")


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> LoadedBundle:
    """The bundle that was named, else the one that tests train."""
    if RENEWED_BY:
        live = ledger.current(Path(RENEWED_BY))
        assert live is not None, f"nothing is live in {RENEWED_BY}"
        return load_bundle(ledger.bundle_folder(Path(RENEWED_BY), live.digest))
    found: LoadedBundle = request.getfixturevalue("bundle")
    return found


@pytest.fixture(scope="module")
def told(served: LoadedBundle, blank: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the little world is answered, by operation."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(blank, folder / "data")
    publish(folder / "mlruns", 1, served.digest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.delivery.webhook_routes.resolve", lambda host, port: ["93.184.215.14"])
        key = "the key of a little world, for examples"
        with open_house(folder, load=lambda folder, threads: served, webhook_key=key) as house:
            text = json.dumps({one.operation: one.to_dict() for one in story(house)})
    for random, fixed in ((r"ji_\w+", "YOUR_KEY"), (r"key [0-9a-f]{12}", "key 0123456789ab"), (str(folder), "")):
        text = re.sub(random, fixed, text)
    return {name: cut(one) for name, one in json.loads(text).items()}


def cut(value: Any) -> Any:
    """Long lists cut short, and files to their first line: others hold what a model weighs."""
    if isinstance(value, dict):
        told = {key: cut(one) for key, one in value.items()}
        return {**told, "answer": value["answer"].split("\n")[0]} if value.get("kind") == "text/csv" else told
    return [cut(one) for one in value[:MOST_SHOWN]] if isinstance(value, list) else value


def differences(shown: Any, real: Any, path: str, *, weighed: bool) -> Iterator[str]:
    """Where an example is another answer than the real one."""
    if type(shown) is not type(real):
        if not (weighed and None in (shown, real)):
            yield f"{path}: {shown!r} is shown, {real!r} is answered"
    elif isinstance(shown, dict):
        alike = not weighed or ("decision" in shown and all(shown.get(one) == real.get(one) for one in DECIDED))
        if shown.keys() != real.keys() and alike:
            yield f"{path}: keys {sorted(shown.keys() ^ real.keys())} are in one of them alone"
        for key in shown.keys() & real.keys():
            yield from differences(shown[key], real[key], f"{path}.{key}", weighed=weighed or key in WEIGHED)
    elif isinstance(shown, list):
        if len(shown) != len(real) and not weighed:
            yield f"{path}: {len(shown)} are shown, {len(real)} are answered"
        for place, (one, other) in enumerate(zip(shown, real, strict=False)):
            yield from differences(one, other, f"{path}.{place}", weighed=weighed)
    elif shown != real and not weighed:
        yield f"{path}: {shown!r} is shown, {real!r} is answered"


def test_every_operation_is_asked_and_shown(told: dict[str, dict[str, Any]]) -> None:
    app = create_app(Settings(data_dir=Path("nowhere"), mlruns_dir=Path("nowhere")))
    paths = app.openapi()["paths"]
    operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert told.keys() == operations - {"GET /metrics"}


def test_the_examples_are_what_a_real_service_answers(told: dict[str, dict[str, Any]]) -> None:
    if RENEWED_BY:
        EXAMPLES.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    shown = json.loads(EXAMPLES.read_text("utf-8"))
    assert shown.keys() == told.keys(), RENEW
    found = [one for name in told for one in differences(shown[name], told[name], name, weighed=name in OF_A_MODEL)]
    assert found == [], RENEW


def test_the_document_shows_each_of_them_with_its_request_and_its_answer() -> None:
    app = create_app(Settings(data_dir=Path("nowhere"), mlruns_dir=Path("nowhere")))
    paths = app.openapi()["paths"]
    for name, example in json.loads(EXAMPLES.read_text("utf-8")).items():
        method, path = name.split(" ")
        operation = paths[path][method.lower()]
        if "answer" in example:
            success = next(one for status, one in operation["responses"].items() if status.startswith("2"))
            assert success["content"][example["kind"]]["example"] == example["answer"], name
        if "sent" in example:
            assert [one["example"] for one in operation["requestBody"]["content"].values()] == [example["sent"]], name


def test_an_answer_that_is_another_is_noticed() -> None:
    shown = {"state": "waiting", "jobs": [1], "feeling": {"decision": "auto", "answer": "positive"}}
    assert list(differences(shown, shown, "", weighed=False)) == []
    for other in (
        {**shown, "state": "running"}, {**shown, "more": 1}, {**shown, "jobs": [1, 2]}, {**shown, "jobs": ["1"]},
        {**shown, "feeling": {"decision": "auto", "answer": "positive", "more": 1}},
    ):  # fmt: skip
        assert list(differences(shown, other, "", weighed=False)), other
    weighed: dict[str, Any] = {"decision": "review", "answer": None, "review": {}}
    assert list(differences(shown, {**shown, "feeling": weighed}, "", weighed=False)) == []
