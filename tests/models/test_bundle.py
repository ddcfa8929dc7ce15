"""A bundle: checked to the bit, opened without what fits, and concluding as it did when it was measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle, BundleError, LoadedBundle, NoBundle, check_manifest, load_bundle, write_manifest
from models.insight import Decision, ModelVersion, ReleasePolicy
from models.journey.assembly import Feedback, assemble, journeys_of
from models.journey.event import DAY, format_duration
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.touchpoint import Catalogue
from tests.trained import Trained

pytest_plugins = ["tests.trained"]

POLICY = ReleasePolicy()
MODEL = ModelVersion(1, "d" * 64, 0)


def _feedback(text: str, number: int = 0) -> Feedback:
    return Feedback(f"f{number}", "c", 10, 10, "survey", text, None)


def _moments(journeys: Journeys) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A moment of each customer, some before they ever came."""
    first, last = int(journeys.occurred_at.min()), int(journeys.occurred_at.max())
    return np.random.default_rng(3).integers(first, last, len(journeys))


def _insights(bundle: Bundle, journeys: Journeys, as_of: np.ndarray[Any, np.dtype[np.int64]]) -> list[dict[str, Any]]:
    found = bundle.concluded(journeys, as_of, [None] * len(journeys), MODEL, POLICY).insights()
    return [one.to_dict(provisional=True) for one in found]


def _numbers_apart(one: Any, other: Any) -> float:
    """The largest difference of two numbers in the same place; infinite where anything else differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_numbers_apart(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((_numbers_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else float("inf")


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    return shutil.copytree(trained.report.folder, tmp_path / "copied")


def test_every_question_that_was_trained_is_opened(bundle: LoadedBundle) -> None:
    assert bundle.next_touchpoint is not None
    assert list(bundle.purchase) == ["web_visit"]
    assert bundle.feedback is not None
    assert bundle.channel is not None


def test_a_flipped_bit_anywhere_is_refused_and_the_file_is_named(copied: Path) -> None:
    rng = np.random.default_rng(1)
    files = sorted(path for path in copied.rglob("*") if path.is_file())
    assert len(files) > 6
    for path in files:
        whole = path.read_bytes()
        for place in {0, len(whole) - 1, *rng.integers(0, len(whole), 6).tolist()}:
            broken = bytearray(whole)
            broken[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
                check_manifest(copied)
        path.write_bytes(whole)
    assert check_manifest(copied)


def test_no_bit_of_the_manifest_can_be_flipped(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    write_manifest(tmp_path, {"seed": 7}, {"loss": 1e-07, "n": 3}, created_at="2026-11-21T12:00:00Z")
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (5, place % 8):  # 5 makes upper case of lower, so 1e-07 becomes 1E-07: the same number
            broken = bytearray(whole)
            broken[place] ^= 1 << bit
            path.write_bytes(broken)
            with pytest.raises(BundleError, match=r"manifest\.json"):
                check_manifest(tmp_path)


def test_a_missing_or_an_extra_file_is_named(copied: Path) -> None:
    net = copied / "next_touchpoint" / "net.onnx"
    away = copied.parent / "net.onnx"
    net.rename(away)
    with pytest.raises(BundleError, match=r"net\.onnx is missing"):
        load_bundle(copied)
    away.rename(net)
    (copied / "feedback" / "code.py").write_text("1")
    with pytest.raises(BundleError, match=r"feedback/code\.py is unknown"):
        load_bundle(copied)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"format": 1, "digest": 3}', "\x00"])
def test_what_is_no_manifest_is_said_to_be_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="damaged"):
        check_manifest(tmp_path)


def test_a_bundle_from_before_channels_were_learned_says_so_and_concludes_the_rest(copied: Path) -> None:
    written = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").unlink()
    shutil.rmtree(copied / "channel")
    write_manifest(copied, written["learned_from"], written["figures"])
    told = _insights(load_bundle(copied), journeys_of({"c": [("web.visit", 0)] * 5}), np.array([9 * DAY]))[0]
    assert told["journey"]["preferred_channel"] is None
    assert told["journey"]["channel_preference"]["reason"] == "not_trained"
    assert told["next_touchpoint"]["answer"] is not None


def test_another_format_says_to_train_again(tmp_path: Path) -> None:
    write_manifest(tmp_path, {}, {})
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(BundleError, match="format 99; this version reads 1"):
        check_manifest(tmp_path)


def test_the_digest_knows_files_data_and_figures_but_not_the_time(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    first = write_manifest(tmp_path, {"seed": 7}, {"n": 1}, created_at="2026-01-01T00:00:00Z")
    assert first == write_manifest(tmp_path, {"seed": 7}, {"n": 1}, created_at="2027-01-01T00:00:00Z")
    assert first != write_manifest(tmp_path, {"seed": 8}, {"n": 1})
    assert first != write_manifest(tmp_path, {"seed": 7}, {"n": 2})
    (tmp_path / "a.json").write_text("{ }")
    assert first != write_manifest(tmp_path, {"seed": 7}, {"n": 1})


def test_nothing_that_fits_is_imported_to_load_and_conclude(trained: Trained) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np
from models.bundle import load_bundle
from models.insight import ModelVersion, ReleasePolicy
from models.journey.assembly import Feedback, journeys_of
bundle, policy = load_bundle(Path(sys.argv[1])), ReleasePolicy()
said = Feedback("f", "c", 10, 10, "survey", "never again, but thank you", None)
feelings = bundle.conclude_feedback([said], policy)
journeys = journeys_of({"c": [("web.visit", 10), ("dealer.visit", 20)]})
bundle.concluded(journeys, np.array([30]), feelings, ModelVersion(1, bundle.digest, 0), policy).insights()[0].to_dict()
heavy = {"torch", "transformers", "sklearn", "mlflow", "pandas", "scipy", "onnx", "skl2onnx", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(trained.report.folder)], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_one_alone_gets_the_answer_that_it_gets_in_a_batch(bundle: LoadedBundle, journeys: Journeys) -> None:
    rows = np.arange(0, len(journeys), 9)
    batch, as_of = journeys.take(rows), _moments(journeys)[rows]
    assert bundle.next_touchpoint is not None
    together, seen = _insights(bundle, batch, as_of), batch.seen_at(as_of)
    distribution = bundle.next_touchpoint.predict(seen, as_of).distribution
    likely = bundle.purchase["web_visit"].predict(seen, as_of, bundle.said(seen, as_of, [None] * len(seen)))
    for row in range(len(batch)):
        alone, moment = batch.take(np.array([row])), as_of[row : row + 1]
        by_itself = alone.seen_at(moment)
        found = bundle.next_touchpoint.predict(by_itself, moment).distribution[0]
        np.testing.assert_allclose(found, distribution[row], atol=1e-6)
        said = bundle.said(by_itself, moment, [None])
        likely_alone = bundle.purchase["web_visit"].predict(by_itself, moment, said)[0]
        assert likely_alone == pytest.approx(likely[row], abs=1e-6)
        # the public answer is rounded to four digits, and quantiles of waiting to their two largest units
        assert _numbers_apart(_insights(bundle, alone, moment)[0], together[row]) <= 1.1e-4


def test_feelings_alone_equal_feelings_in_a_batch(bundle: LoadedBundle) -> None:
    said = [
        _feedback(text, i) for i, text in enumerate(["great", "not bad but never again " * 30, "", "x" * 1_000_000])
    ]
    together = bundle.conclude_feedback(said, POLICY)
    for one, found in zip(said, together, strict=True):
        alone = bundle.conclude_feedback([one], POLICY)[0]
        assert _numbers_apart(alone.to_dict(provisional=True), found.to_dict(provisional=True)) <= 1.1e-4
    assert bundle.conclude_feedback([], POLICY) == []


def test_what_comes_later_changes_nothing(bundle: LoadedBundle, company: Path, journeys: Journeys) -> None:
    events = list(read_events(company / "events.parquet"))
    moment = int(np.median(journeys.occurred_at))
    seen = [one for one in events if one.occurred_at <= moment and one.received_at <= moment]
    assert 0 < len(seen) < len(events)
    then = assemble(iter(seen), Catalogue.default()).journeys
    both = sorted(set(then.customers) & set(journeys.customers))
    assert len(both) > 50
    answers = []
    for known in (then, journeys):
        row = {name: i for i, name in enumerate(known.customers)}
        taken = known.take(np.array([row[name] for name in both]))
        answers.append(_insights(bundle, taken, np.full(len(both), moment)))
    assert _numbers_apart(*answers) <= 1.1e-4


def test_nobody_yet_gets_an_abstention_with_what_is_known_of_all(bundle: LoadedBundle) -> None:
    nobody = journeys_of({"c": []})
    found = bundle.concluded(nobody, np.array([DAY]), [None], MODEL, POLICY).insights()[0]
    assert {found.next_touchpoint.decision, *(one.decision for one in found.purchase)} == {Decision.ABSTAIN}
    assert found.journey.touchpoints == 0
    assert found.feeling.flags[0].code == "no_feedback"


def test_a_target_that_was_not_trained_abstains_in_its_place(bundle: LoadedBundle, journeys: Journeys) -> None:
    found = bundle.concluded(journeys.take(np.array([0])), _moments(journeys)[:1], [None], MODEL, POLICY).insights()[0]
    named = {one.about["definition"]: one for one in found.purchase}
    assert list(named) == ["car_purchase", "web_visit"]
    untrained = named["car_purchase"]
    assert [flag.code for flag in untrained.flags] == ["not_trained"]
    assert 0 <= untrained.about["base_rate"] < 0.2, "how often it was seen to follow is known all the same"
    assert untrained.details["interval"] == [0.0, 1.0]


def test_without_a_bundle_everything_abstains_and_base_rates_are_told() -> None:
    none = NoBundle({"web.visit": 3, "dealer.visit": 1})
    known = journeys_of({"a": [("web.visit", 10)], "b": []})
    feelings = none.conclude_feedback([_feedback("I love it")], POLICY)
    found = none.concluded(
        known, np.array([20, 20]), [feelings[0], None], ModelVersion(0, None, None), POLICY
    ).insights()
    assert none.digest is None
    assert [one.customer_id for one in found] == ["a", "b"]
    for one in found:
        assert {one.next_touchpoint.decision, one.feeling.decision} == {Decision.ABSTAIN}
        assert one.next_touchpoint.details["distribution"][0] == {"touchpoint": "web.visit", "probability": 0.75}
        assert one.purchase == ()
    assert [one.journey.touchpoints for one in found] == [1, 0]
    assert feelings[0].flags[0].code == "not_trained"


@pytest.mark.parametrize("counts", [{}, {"web.visit": 0}])
def test_before_anything_was_counted_there_is_no_base_rate(counts: dict[str, int]) -> None:
    assert sum(one["probability"] for one in NoBundle(counts).base_rates()) == 0


def test_every_target_has_its_own_model_answer_and_reasons(bundle: LoadedBundle, journeys: Journeys) -> None:
    rows = np.array([0, 5])
    batch, as_of = journeys.take(rows), _moments(journeys)[rows]
    insights = bundle.concluded(batch, as_of, [None, None], MODEL, POLICY).insights()
    for told in bundle.explained(insights, batch, as_of, [None, None]):
        about = {one.about["definition"]: one for one in told.purchase}
        assert set(about) == set(bundle.targets)
        for name, one in about.items():
            assert one.about["horizon"] == format_duration(bundle.targets[name].horizon_seconds)
            assert (one.answer is None) == ("why" not in one.to_dict(provisional=True))
            if one.answer is not None:
                assert 0 < len(one.to_dict(provisional=True)["why"]["because"]) <= 5


def test_the_words_behind_a_feeling_add_up_to_its_confidence(bundle: LoadedBundle, journeys: Journeys) -> None:
    words = [Feedback("f1", "c1", 0, 0, "chat", "A wonderful car, and friendly people. Thank you!")]
    eager = replace(POLICY, alpha=0.9, delta=0.9)
    (feeling,) = bundle.conclude_feedback(words, eager)
    released = replace(feeling, decision=Decision.AUTO)
    row = journeys.take(np.array([0]))
    as_of = _moments(journeys)[:1]
    insights = bundle.concluded(row, as_of, [released], MODEL, POLICY).insights()
    (told,) = bundle.explained(insights, row, as_of, words)
    why = told.feeling.to_dict()["why"]
    assert why["score"] == told.feeling.details["confidence"]
    assert why["base"] + sum(one["weight"] for one in why["words"]) == pytest.approx(why["score"], abs=1e-9)
    spans = [words[0].text[one["start"] : one["end"]] for one in why["words"]]
    assert spans[:3] == ["A", "wonderful", "car"]
    assert bundle.explained(insights, row, as_of, words) == [told], "of one text it is always the same"
