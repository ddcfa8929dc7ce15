"""People's labels: rare draws weigh more, disagreement is kept, and the golden set stays apart from all learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from models.journey.touchpoint import Catalogue
from training.__main__ import app
from training.data import load, read_feedback, with_verdicts
from training.golden import candidates, grow, key_of, path_of, read_golden
from training.labels import propensity_weights
from training.policies import LabelPolicy
from training.splits import of_texts


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _verdict(feedback_id: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"feedback_id": feedback_id, "answer": answer, "decided_at": "2026-01-01T00:00:00Z", **more}


@given(st.lists(st.floats(0.001, 1.0) | st.just(float("nan")), min_size=1, max_size=40))
def test_weights_are_1_on_average_and_no_draw_outvotes_all(chance: list[float]) -> None:
    weight = propensity_weights(np.array(chance), 10.0)
    assert weight.mean() == pytest.approx(1.0)
    assert weight.max() <= 10.0 * weight.min() * (1 + 1e-9)
    known = np.where(np.isnan(chance), 1.0, chance)
    order = np.argsort(known)
    assert (np.diff(weight[order]) <= 1e-9).all()  # the rarer, the heavier


def test_a_verdict_that_came_by_rare_chance_counts_more(tmp_path: Path) -> None:
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", [{"feedback_id": n, "text": f"text {n}"} for n in "ab"]))
    rows = [_verdict("a", "positive", chance_of_review=1.0), _verdict("b", "negative", chance_of_review=0.25)]
    judged, used = with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", rows))
    assert used == 2
    assert judged["weight"].tolist() == pytest.approx([5.0 * 0.4, 5.0 * 1.6])
    plain, _ = with_verdicts(
        frame, _jsonl(tmp_path / "v.jsonl", [_verdict("a", "positive"), _verdict("b", "negative")])
    )
    assert plain["weight"].tolist() == [5.0, 5.0]


def test_readers_who_disagree_make_a_soft_label_on_one_side_of_the_split(tmp_path: Path) -> None:
    texts = [{"feedback_id": str(n), "text": f"text {n}", "said_at": 1_700_000_000 + n} for n in range(10)]
    frame = read_feedback(_jsonl(tmp_path / "f.jsonl", texts))
    rows = [
        _verdict("7", "positive", reviewer="ann"), _verdict("7", "mixed", reviewer="ann"),
        _verdict("7", "negative", reviewer="bob"), _verdict("7", "negative", reviewer="cy"),
    ]  # fmt: skip
    judged, used = with_verdicts(frame, _jsonl(tmp_path / "v.jsonl", rows))
    assert used == 1
    of_seven = judged[judged["feedback_id"] == "7"].sort_values("polarity")
    assert of_seven["polarity"].tolist() == ["mixed", "negative"]  # of one reader the latest stands
    assert of_seven["weight"].tolist() == pytest.approx([5 / 3, 10 / 3])  # 1 to 2, as they answered
    assert len(set(of_texts(judged, 1)[judged["feedback_id"] == "7"])) == 1
    assert len(judged) == 11


def test_readings_that_decided_nothing_alone_teach_how_far_people_differ(tmp_path: Path) -> None:
    texts = [{"feedback_id": "a", "text": "so so"}, {"feedback_id": "b", "text": "fine"}]
    pd.DataFrame([_verdict("a", "mixed", reviewer="cy", given_as="adjudication")]).to_parquet(
        tmp_path / "verdicts.parquet"
    )
    apart = [_verdict("a", "negative", reviewer="ann"), _verdict("a", "positive", reviewer="bob"),
             _verdict("b", "negative", reviewer="ann")]  # fmt: skip
    pd.DataFrame(apart).to_parquet(tmp_path / "readings.parquet")
    read = load(None, _jsonl(tmp_path / "f.jsonl", texts), tmp_path / "verdicts.parquet", Catalogue.default(), {}, {})
    assert read.feedback is not None
    assert sorted(read.digests) == ["feedback", "readings", "verdicts"]
    told = read.feedback[read.feedback["feedback_id"] == "a"]
    assert sorted(told["polarity"]) == ["mixed", "negative", "positive"]
    assert told["weight"].tolist() == pytest.approx([5 / 3] * 3)
    assert read.feedback["polarity"][read.feedback["feedback_id"] == "b"].isna().all()  # nothing is settled yet


# -- the golden set ----------------------------------------------------------------------------------------------------


def _settled() -> pd.DataFrame:
    rows = [
        _verdict("plain", "positive", text="All good", model_answer="positive"),
        _verdict("mild", "positive", text="Fine by me", model_answer="neutral", model_confidence=0.6),
        _verdict("worst", "negative", text="Great, it broke again", model_answer="positive", model_confidence=0.97),
        _verdict("urgent", "negative", text="I will hurt myself", model_answer="neutral", flags=["urgent"]),
        _verdict("unsure", "cannot_tell", text="Hm", model_answer="positive"),
        _verdict("split", "mixed", text="Nice but slow", model_answer="mixed", given_as="adjudication"),
    ]
    return pd.DataFrame(rows)


def test_dangerous_mistakes_come_first() -> None:
    assert [one["feedback_id"] for one in candidates(_settled())] == ["urgent", "worst", "mild", "split"]


def test_the_set_grows_by_what_is_allowed_and_what_is_in_it_never_changes(tmp_path: Path) -> None:
    everybody = set(_settled()["feedback_id"])
    first = grow(tmp_path, _settled(), everybody, LabelPolicy(golden_grow=2))
    assert first.to_dict() == {"joined": 2, "forgotten": 0, "size": 2}
    before = path_of(tmp_path).read_text().splitlines()
    changed = _settled().assign(answer="mixed")
    assert grow(tmp_path, changed, everybody, LabelPolicy(golden_grow=1)).size == 3
    assert path_of(tmp_path).read_text().splitlines()[:2] == before
    assert grow(tmp_path, changed, everybody, LabelPolicy(golden_most=3)).joined == 0


def test_erased_customers_leave_the_set(tmp_path: Path) -> None:
    everybody = set(_settled()["feedback_id"])
    grow(tmp_path, _settled(), everybody, LabelPolicy())
    gone = grow(tmp_path, None, everybody - {"worst"}, LabelPolicy())
    assert (gone.forgotten, gone.size) == (1, 3)
    golden = read_golden(tmp_path)
    assert golden is not None
    assert "worst" not in set(golden["feedback_id"])
    assert "broke" not in path_of(tmp_path).read_text()


def test_nothing_learns_from_words_of_a_golden_case(tmp_path: Path) -> None:
    grow(tmp_path, _settled(), {"worst"}, LabelPolicy())
    texts = [{"feedback_id": "x", "text": "great,  it BROKE again"}, {"feedback_id": "y", "text": "It broke"}]
    read = load(
        None, _jsonl(tmp_path / "f.jsonl", texts), None, Catalogue.default(), {}, {}, golden=read_golden(tmp_path)
    )
    assert read.feedback is not None
    assert read.feedback["feedback_id"].tolist() == ["y"]
    assert set(read.digests) == {"feedback", "golden"}
    assert key_of("great,  it BROKE again") == key_of("Great, it broke again")


def test_the_command_tells_what_became_of_the_set(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    settled = _settled().drop(columns=["flags"])
    settled[["feedback_id", "text"]].to_parquet(folder / "feedback.parquet")
    settled.drop(columns="text").to_parquet(folder / "verdicts.parquet")
    command = ["golden", "--from-service", str(folder), "--out", str(tmp_path / "mlruns"), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"joined": 4, "forgotten": 0, "size": 4}
