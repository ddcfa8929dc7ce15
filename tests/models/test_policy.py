"""The policy file: its defaults, and each mistake told with field, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.policy import DEFAULT, FIELDS, Policy, PolicyError


def test_the_file_that_comes_along_says_every_field() -> None:
    policy = Policy.default()
    assert set(policy.values) == set(FIELDS)
    assert Policy.read(DEFAULT.read_text("utf-8")) == policy
    assert Policy.read("") == policy


def test_what_is_left_out_keeps_its_default() -> None:
    policy = Policy.read("feeling: {alpha: 0.1}\nnext_touchpoint: {coverage: 0.95}")
    assert (policy.release.alpha, policy.release.delta, policy.release.coverage) == (0.1, 0.05, 0.95)
    assert policy.audit_share == 0.02


@pytest.mark.parametrize(
    ("text", "field", "fix"),
    [
        ("feeling: {alpha: 1}", "feeling.alpha", "between 0 and 1, both excluded"),
        ("feeling: {alpha: five}", "feeling.alpha", "a number"),
        ("feeling: {alpha: true}", "feeling.alpha", "a number"),
        ("next_touchpoint: {coverage: 0.93}", "next_touchpoint.coverage", "one of 0.8, 0.9, 0.95"),
        ("day_one: {texts: 2.5}", "day_one.texts", "a whole number"),
        ("audit: {share: 2}", "audit.share", "from 0 to 1"),
        ("reviewers: {seconds_a_case: 0}", "reviewers.seconds_a_case", "from 1 to 86400"),
        ("shift: {feeling: panic}", "shift.feeling", "note, widen, withdraw"),
        ("feeling: {beta: 1}", "feeling.beta", "allowed: alpha, delta"),
        ("mood: {alpha: 1}", "mood", "allowed: feeling, next_touchpoint"),
        ("feeling: 0.05", "feeling", "write fields below it"),
        ("- 1", "the file", "write the sections"),
        ("feeling: {alpha: [", "line 1", "write YAML"),
    ],
)
def test_each_mistake_names_its_field_and_says_what_to_write(text: str, field: str, fix: str) -> None:
    with pytest.raises(PolicyError) as told:
        Policy.read(text)
    assert told.value.field == field
    assert fix in str(told.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="name a file that can"):
        Policy.load(tmp_path / "none.yaml")


def test_the_same_numbers_have_the_same_digest_however_they_are_written() -> None:
    assert Policy.read("feeling: {alpha: 0.05}").digest == Policy.default().digest
    assert Policy.read("reviewers: {minutes_a_day: 5}").digest != Policy.default().digest
    assert Policy.read("reviewers: {minutes_a_day: 5}").release.digest == Policy.default().release.digest


def test_each_promise_has_its_own_risk() -> None:
    policy = Policy.read("feeling: {alpha: 0.1}\npurchase: {delta: 0.01}")
    assert policy.risk_of("feeling") == (0.1, 0.05)
    assert policy.risk_of("next_touchpoint") == (0.1, 0.05)
    assert policy.risk_of("purchase") == (0.0, 0.01)
