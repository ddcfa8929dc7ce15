"""From a service that promises nothing to one that does: first texts, blind readings, export, calibrate, audits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import LoadedBundle, check_manifest, load_bundle, write_manifest
from models.confidence.calibration import Temperature
from models.confidence.risk import CalibrationTable
from models.insight import ReleasePolicy
from models.journey.eventlog import Table
from models.ledger import current
from service.export import export
from tests.service.fakes import House, open_house
from tests.trained import NOW
from training.data import DataError
from training.publish import go_live, store
from training.recalibrate import recalibrate

pytest_plugins = ["tests.trained"]
POLICY = """
feeling: {alpha: 0.2, delta: 0.1}
day_one: {texts: 40, share: 1.0}
audit: {share: 1.0}
"""
LENIENT = ReleasePolicy(0.2, 0.1)


@pytest.fixture(scope="module")
def unproven(bundle: LoadedBundle, trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the trained bundle is live, very sure of itself, without a label to promise by."""
    out = tmp_path_factory.mktemp("unproven")
    folder = out / "versions" / "making"
    shutil.copytree(trained.report.folder, folder)
    (folder / "manifest.json").unlink()
    feeling = bundle.measured.feeling
    assert feeling is not None
    none = CalibrationTable.of(np.empty(0), np.empty(0, dtype=np.bool_))
    measured = replace(bundle.measured, feeling=replace(feeling, table=none, temperature=Temperature(0.01)))
    (folder / "measured.json").write_text(json.dumps(measured.to_dict()))
    described = json.loads((folder / "feedback" / "feedback.json").read_text())
    (folder / "feedback" / "feedback.json").write_text(json.dumps({**described, "weak_labels": True}))  # no spread told
    write_manifest(folder, bundle.manifest["learned_from"], bundle.manifest["figures"])
    go_live(out, store(out, folder), NOW, "a test", "to begin with")
    return out


@pytest.fixture(scope="module")
def texts(company: Path) -> list[str]:
    found = [str(row["text"]) for row in Table(company / "feedback.parquet").rows()]
    return sorted(dict.fromkeys(found), key=len)  # the tiny net reads 24 tokens


def said(house: House, number: int, text: str) -> dict[str, Any]:
    house.say(f"w{number}", text, f"p{number}")
    house.worker.run_until_idle()
    return dict(house.insight(f"p{number}", "read", "provisional")["feeling"])


def codes(feeling: dict[str, Any]) -> set[str]:
    return {flag["code"] for flag in feeling["flags"]}


def read_all(house: House, *, right: bool) -> int:
    """Everything that was drawn is read: people say what the model had said, or something else."""
    headers, answered = house.key("review"), 0
    while True:
        case = house.client.post("/v1/reviews/claim", json={}, headers=headers).json()["case"]
        if case is None:
            return answered
        shown = house.insight(case["customer_id"], "read", "provisional")["feeling"]
        told = shown["provisional"]["answer"] if shown["answer"] is None else shown["answer"]
        other = "neutral" if told != "neutral" else "negative"
        path = f"/v1/reviews/{case['conclusion_id']}/verdict"
        given = house.client.post(path, json={"answer": told if right else other}, headers=headers)
        assert given.status_code == 200, given.text
        answered += 1


def begin(folder: Path, mlruns: Path) -> Any:
    shutil.copytree(mlruns, folder / "mlruns")
    (folder / "policy.yaml").write_text(POLICY)
    return open_house(folder, load=load_bundle, policy_file=folder / "policy.yaml", read_twice_share=0.0)


def promise(house: House) -> dict[str, Any]:
    found = house.client.get("/v1/promises", headers=house.key("read")).json()["promises"]
    return next(one for one in found if (one["kind"], one["group"]) == ("feeling", "all"))


def test_a_service_without_a_promise_earns_one_lives_by_it_and_takes_it_back(
    tmp_path: Path, unproven: Path, texts: Sequence[str]
) -> None:
    with begin(tmp_path, unproven) as house:
        plain, sure = [], {}
        for number, text in enumerate(texts):
            feeling = said(house, number, text)
            assert feeling["decision"] != "auto"
            if codes(feeling) == {"no_promise"}:
                plain.append(number)
                sure[number] = feeling["provisional"]["confidence"]
            if len(plain) == 45:
                break
        first = promise(house)
        assert (first["standing"], first["n_more_needed"]) == (False, 11)
        assert (first["first_texts"]["wanted"], first["first_texts"]["drawn"]) == (40, 40)
        read_all(house, right=True)
        assert promise(house)["first_texts"]["answered"] == 40

        export(house.state, tmp_path / "exported")
        found = recalibrate(tmp_path / "exported", tmp_path / "mlruns", LENIENT, NOW, "a test")
        assert (found.labels, found.version) == (45, 2), found
        before, after = (_manifest(tmp_path / "mlruns", version) for version in (1, 2))
        weights = [name for name in before if not name.endswith(("measured.json", "reference.safetensors"))]
        assert all(before[name] == after[name] for name in weights)

        number = len(texts)
        house.worker.run_until_idle()
        plain.sort(key=lambda one: -sure[one])
        feeling = said(house, number, texts[plain[0]])
        assert (feeling["decision"], feeling["promise"]["standing"], feeling["promise"]["n"]) == ("auto", True, 45)
        assert promise(house)["standing"] is True

        for more, old in enumerate(plain[1:40], 1):
            said(house, number + more, f"{texts[old]} ")
        read_all(house, right=False)
        house.worker.run_until_idle()
        fallen = promise(house)
        assert (fallen["standing"], fallen["checks"]["wrong"] >= 5) == (False, True)
        feeling = said(house, number + 100, texts[plain[1]])
        assert (feeling["decision"], feeling["promise"]["standing"]) == ("review", False)
        assert "promise_withdrawn" in codes(feeling)
        assert promise(house)["first_texts"]["drawn"] == 1  # it is being earned anew

        export(house.state, tmp_path / "again")
        later = recalibrate(tmp_path / "again", tmp_path / "mlruns", LENIENT, NOW, "a test")
        assert later.passed_over["said too early"] >= 40
        assert all(rule.threshold is None for rule in later.rules)


def _manifest(root: Path, version: int) -> dict[str, str]:
    entry = json.loads((root / "live" / f"{version:06d}.json").read_text())
    return dict(check_manifest(root / "versions" / entry["digest"])["files"])


def test_too_few_labels_publish_nothing_and_say_how_many_more_it_takes(
    tmp_path: Path, unproven: Path, texts: Sequence[str]
) -> None:
    with begin(tmp_path, unproven) as house:
        for number, text in enumerate(texts[:4]):
            said(house, number, text)
        read_all(house, right=True)
        export(house.state, tmp_path / "exported")
    found = recalibrate(tmp_path / "exported", tmp_path / "mlruns", LENIENT, NOW, "a test")
    entry = current(tmp_path / "mlruns")
    assert found.version is None
    assert "more without a mistake" in found.why
    assert entry is not None
    assert entry.version == 1


def test_an_export_of_before_is_refused_with_what_to_do(tmp_path: Path, unproven: Path) -> None:
    with pytest.raises(DataError, match=r"holds no verdicts\.parquet; write it with"):
        recalibrate(tmp_path, unproven, LENIENT, NOW, "a test")


def test_another_alpha_needs_no_training(bundle: LoadedBundle) -> None:
    feeling = bundle.measured.feeling
    assert feeling is not None
    score = np.linspace(0.0, 1.0, 1_000)
    table = CalibrationTable.of(score, np.random.default_rng(0).random(1_000) > 0.8 + 0.2 * score)
    rules = [replace(feeling, table=table).rule(alpha, 0.05, "chat") for alpha in (0.02, 0.05, 0.1, 0.2)]
    released = [rule.n_released for rule in rules]
    assert released == sorted(released)
    assert released[0] < released[-1] == 1_000
