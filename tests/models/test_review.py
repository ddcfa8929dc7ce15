"""Review as pure functions: leases, verdicts, undo, and laws that no order of actions may break."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.insight import Conclusion, Decision, flags
from models.journey.event import SECOND
from models.review import (
    ANSWERS,
    Answer,
    Case,
    Claim,
    ReviewError,
    ReviewPolicy,
    Verdict,
    claim,
    decide,
    release,
    renew,
    undo,
)

POLICY = ReviewPolicy(lease_seconds=600, undo_seconds=60, hidden_share=0.1)


def held_by(reviewer: str, at: int = 0) -> Case:
    return Case("c1").having(claim(Case("c1"), reviewer, at, POLICY, f"k-{reviewer}-{at}"))


def decided_by(case: Case, reviewer: str, at: int, polarity: str = "negative", verdict_id: str = "v1") -> Case:
    verdict, ended = decide(case, reviewer, at, Answer(polarity), shown=True, policy=POLICY, verdict_id=verdict_id)
    return case.having(verdict, *([ended] if ended else []))


def code_of(error: pytest.ExceptionInfo[ReviewError]) -> str:
    return error.value.code


def test_a_case_is_open_then_claimed_then_decided() -> None:
    case = Case("c1")
    assert case.status(0) == "open"
    case = held_by("Ada")
    assert case.status(1) == "claimed"
    assert decided_by(case, "Ada", 5).status(6) == "decided"


def test_nobody_claims_a_case_that_another_holds() -> None:
    with pytest.raises(ReviewError) as error:
        claim(held_by("Ada"), "Bo", 1, POLICY, "k2")
    assert code_of(error) == "held_by_another"


def test_a_lease_that_ran_out_frees_the_case_at_that_very_moment() -> None:
    case = held_by("Ada")
    end = 600 * SECOND
    assert case.status(end - 1) == "claimed"
    assert claim(case, "Bo", end, POLICY, "k2").reviewer == "Bo"


def test_a_heartbeat_lets_the_lease_run_on() -> None:
    case = held_by("Ada")
    renewed = case.having(renew(case, "Ada", 500 * SECOND, POLICY))
    assert len(renewed.claims) == 1
    assert renewed.status(1000 * SECOND) == "claimed"


def test_claiming_twice_gives_no_second_claim() -> None:
    case = held_by("Ada")
    assert claim(case, "Ada", SECOND, POLICY, "other").claim_id == case.claims[0].claim_id


def test_a_clock_set_back_never_cuts_a_lease_short() -> None:
    case = held_by("Ada", at=100 * SECOND)
    assert renew(case, "Ada", 1 * SECOND, POLICY).until == case.claims[0].until


def test_a_released_case_is_open_for_everybody() -> None:
    case = held_by("Ada")
    freed = case.having(release(case, "Ada", 1))
    assert freed.status(2) == "open"
    assert freed.claims[0].ending == "released"


def test_a_skip_keeps_its_reason() -> None:
    ended = release(held_by("Ada"), "Ada", 1, skipped=True, reason="I know the customer")
    assert (ended.ending, ended.reason) == ("skipped", "I know the customer")


def test_only_the_holder_can_renew_or_release() -> None:
    with pytest.raises(ReviewError) as renewing:
        renew(Case("c1"), "Ada", 0, POLICY)
    with pytest.raises(ReviewError) as releasing:
        release(Case("c1"), "Ada", 0)
    assert code_of(renewing) == code_of(releasing) == "not_held"


def test_a_verdict_is_stamped_with_the_guideline_and_what_was_shown() -> None:
    verdict, ended = decide(held_by("Ada"), "Ada", 9, Answer("mixed"), shown=False, policy=POLICY, verdict_id="v1")
    assert (verdict.guideline_version, verdict.model_answer_shown, verdict.decided_at) == ("1", False, 9)
    assert ended is not None
    assert ended.ending == "decided"


def test_a_verdict_after_the_lease_counts_if_nobody_took_the_case() -> None:
    assert decided_by(held_by("Ada"), "Ada", 700 * SECOND).status(701 * SECOND) == "decided"


def test_a_verdict_after_the_lease_is_refused_once_another_holds_the_case() -> None:
    case = held_by("Ada")
    case = case.having(claim(case, "Bo", 650 * SECOND, POLICY, "k2"))
    with pytest.raises(ReviewError) as error:
        decided_by(case, "Ada", 700 * SECOND)
    assert code_of(error) == "held_by_another"


def test_a_verdict_sent_twice_is_one_verdict() -> None:
    case = decided_by(held_by("Ada"), "Ada", 5)
    again, ended = decide(case, "Ada", 6, Answer("negative"), shown=True, policy=POLICY, verdict_id="v1")
    assert again == case.verdicts[0]
    assert ended is None


def test_a_decided_case_takes_no_second_verdict() -> None:
    with pytest.raises(ReviewError) as error:
        decided_by(decided_by(held_by("Ada"), "Ada", 5), "Bo", 6, verdict_id="v2")
    assert code_of(error) == "already_decided"


def test_an_undone_verdict_stays_on_record_and_the_case_is_open_again() -> None:
    case = decided_by(held_by("Ada"), "Ada", 5)
    case = case.having(undo(case, "Ada", 6, POLICY))
    assert case.status(7) == "open"
    assert [v.stands for v in case.verdicts] == [False]


@pytest.mark.parametrize(
    ("reviewer", "at", "code"), [("Bo", 6, "nothing_to_undo"), ("Ada", 5 + 61 * SECOND, "too_late_to_undo")]
)
def test_only_ones_own_verdict_can_be_undone_and_only_for_a_minute(reviewer: str, at: int, code: str) -> None:
    with pytest.raises(ReviewError) as error:
        undo(decided_by(held_by("Ada"), "Ada", 5), reviewer, at, POLICY)
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("answer", lambda: Answer("angry")),
        ("emotions", lambda: Answer("negative", ("rage",))),
        ("emotions", lambda: Answer("negative", ("anger", "anger"))),
        ("intensity", lambda: Answer("negative", intensity=5)),
        ("note", lambda: Answer("negative", note="x" * 2001)),
    ],
)
def test_a_wrong_answer_names_the_field_and_what_is_allowed(field: str, make: Callable[[], Answer]) -> None:
    with pytest.raises(ReviewError) as error:
        make()
    assert code_of(error) == "invalid_verdict"
    assert error.value.field == field
    assert "allowed:" in error.value.sentence


def waiting() -> Conclusion:
    return Conclusion("feeling", Decision.REVIEW, flags(["low_margin"]), "positive", {"confidence": 0.6})


def test_a_persons_answer_takes_the_place_of_the_models() -> None:
    answered = Answer("negative", ("anger",), -3).of_person(waiting(), 0).to_dict()
    assert (answered["decision"], answered["decided_by"], answered["answer"]) == ("review", "person", "negative")
    assert answered["emotions"] == [{"emotion": "anger", "probability": 1.0}]
    assert answered["intensity"]["mean"] == -3.0
    assert "confidence" not in answered


def test_cannot_tell_closes_the_case_and_leaves_the_answer_null() -> None:
    answered = Answer("cannot_tell").of_person(waiting(), 0)
    assert not answered.waiting
    assert answered.answer is None
    assert answered.to_dict()["review"]["cannot_tell"] is True


def test_about_the_chosen_share_of_cases_hides_the_models_answer() -> None:
    hidden = sum(not POLICY.shows_model_answer(f"case-{i}") for i in range(5000))
    assert 0.08 < hidden / 5000 < 0.12


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("lease_seconds", lambda: ReviewPolicy(lease_seconds=0)),
        ("undo_seconds", lambda: ReviewPolicy(undo_seconds=-1)),
        ("hidden_share", lambda: ReviewPolicy(hidden_share=1.5)),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field: str, make: Callable[[], ReviewPolicy]) -> None:
    with pytest.raises(ValueError, match=field):
        make()


class Reviewing(RuleBasedStateMachine):
    """Three people do anything in any order to two cases while time passes, now and then backwards."""

    reviewers = st.sampled_from(["Ada", "Bo", "Cy"])
    case_ids = st.sampled_from(["c1", "c2"])

    def __init__(self) -> None:
        super().__init__()
        self.at = 10**15
        self.cases = {"c1": Case("c1"), "c2": Case("c2")}
        self.acknowledged: dict[str, Verdict] = {}
        self.ids = iter(range(10**6))

    def keep(self, case_id: str, *facts: Claim | Verdict) -> None:
        self.cases[case_id] = self.cases[case_id].having(*facts)

    @rule(seconds=st.integers(-30, 700))
    def time_passes(self, seconds: int) -> None:
        self.at += seconds * SECOND

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_claims(self, case_id: str, reviewer: str) -> None:
        case = self.cases[case_id]
        holder = case.holder(self.at)
        try:
            taken = claim(case, reviewer, self.at, POLICY, f"k{next(self.ids)}")
        except ReviewError:
            assert case.verdict or (holder and holder.reviewer != reviewer)
            return
        assert holder is None or holder.reviewer == reviewer
        self.keep(case_id, taken)

    @rule(case_id=case_ids, reviewer=reviewers, skipped=st.booleans())
    def somebody_gives_back(self, case_id: str, reviewer: str, skipped: bool) -> None:
        try:
            self.keep(case_id, release(self.cases[case_id], reviewer, self.at, skipped=skipped))
        except ReviewError:
            holder = self.cases[case_id].holder(self.at)
            assert self.cases[case_id].verdict or holder is None or holder.reviewer != reviewer

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_is_still_there(self, case_id: str, reviewer: str) -> None:
        try:
            self.keep(case_id, renew(self.cases[case_id], reviewer, self.at, POLICY))
        except ReviewError:
            holder = self.cases[case_id].holder(self.at)
            assert self.cases[case_id].verdict or holder is None or holder.reviewer != reviewer

    @rule(case_id=case_ids, reviewer=reviewers, polarity=st.sampled_from(ANSWERS), twice=st.booleans())
    def somebody_decides(self, case_id: str, reviewer: str, polarity: str, twice: bool) -> None:
        verdict_id = f"v{next(self.ids)}"
        for _ in range(2 if twice else 1):
            try:
                verdict, ended = decide(
                    self.cases[case_id], reviewer, self.at, Answer(polarity),
                    shown=True, policy=POLICY, verdict_id=verdict_id,
                )  # fmt: skip
            except ReviewError:
                holder = self.cases[case_id].holder(self.at)
                assert self.cases[case_id].verdict or (holder and holder.reviewer != reviewer)
                return
            self.acknowledged[verdict_id] = verdict
            self.keep(case_id, verdict, *([ended] if ended else []))

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_takes_back(self, case_id: str, reviewer: str) -> None:
        try:
            undone = undo(self.cases[case_id], reviewer, self.at, POLICY)
        except ReviewError:
            return
        self.acknowledged[undone.verdict_id] = undone
        self.keep(case_id, undone)

    @invariant()
    def no_case_is_held_twice(self) -> None:
        for case in self.cases.values():
            assert sum(one.runs(self.at) for one in case.claims) <= 1 or self._clock_went_back(case)

    def _clock_went_back(self, case: Case) -> bool:
        """Two leases may overlap only if the second was taken when the first had run out by the clock of then."""
        running = sorted((c for c in case.claims if c.runs(self.at)), key=lambda c: c.claimed_at)
        return all(later.claimed_at >= earlier.until for earlier, later in pairwise(running))

    @invariant()
    def at_most_one_verdict_stands(self) -> None:
        for case in self.cases.values():
            assert sum(verdict.stands for verdict in case.verdicts) <= 1

    @invariant()
    def no_acknowledged_verdict_is_lost(self) -> None:
        kept = {v.verdict_id: v for case in self.cases.values() for v in case.verdicts}
        assert kept == self.acknowledged


Reviewing.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_no_order_of_actions_breaks_the_laws_of_review = Reviewing.TestCase
