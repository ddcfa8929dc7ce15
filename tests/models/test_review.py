"""Review as pure functions: leases, verdicts, undo, readings. What holds in any order is in test_review_laws.py."""

from collections.abc import Callable

import pytest

from models.insight import Conclusion, Decision, flags
from models.journey.event import SECOND
from models.review import (
    Answer,
    Case,
    ReviewError,
    ReviewPolicy,
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
    freed = case.having(release(case, "Ada", 1, POLICY))
    assert freed.status(2) == "open"
    assert freed.claims[0].ending == "released"


def test_a_skip_keeps_its_reason() -> None:
    ended = release(held_by("Ada"), "Ada", 1, POLICY, ending="skipped", reason="I know the customer")
    assert (ended.ending, ended.reason) == ("skipped", "I know the customer")


def test_only_the_holder_can_renew_or_release() -> None:
    with pytest.raises(ReviewError) as renewing:
        renew(Case("c1"), "Ada", 0, POLICY)
    with pytest.raises(ReviewError) as releasing:
        release(Case("c1"), "Ada", 0, POLICY)
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


BLIND = ReviewPolicy(lease_seconds=600, twice_share=1, adjudicators=frozenset({"Lea"}))


def read_by(case: Case, reviewer: str, at: int, polarity: str, policy: ReviewPolicy = BLIND) -> Case:
    """Taken and answered, one's own way."""
    case = case.having(claim(case, reviewer, at, policy, f"k-{reviewer}"))
    verdict, ended = decide(
        case, reviewer, at, Answer(polarity), shown=False, policy=policy, verdict_id=f"v-{reviewer}"
    )
    return case.having(verdict, *([ended] if ended else []))


def test_two_people_hold_a_case_that_is_read_twice_and_a_third_does_not() -> None:
    case = Case("c1", readings=2)
    for reviewer in ("Ada", "Bo"):
        case = case.having(claim(case, reviewer, 0, BLIND, f"k-{reviewer}"))
    with pytest.raises(ReviewError) as error:
        claim(case, "Cy", 1, BLIND, "k3")
    assert (case.status(1), code_of(error)) == ("claimed", "held_by_another")


def test_two_readings_that_agree_are_a_verdict() -> None:
    once = read_by(Case("c1", readings=2), "Ada", 1, "mixed")
    assert (once.status(2), once.verdict) == ("open", None)
    twice = read_by(once, "Bo", 2, "mixed")
    assert twice.status(3) == "decided"
    assert [verdict.final for verdict in twice.verdicts] == [False, True]


def test_nobody_reads_the_same_case_twice() -> None:
    with pytest.raises(ReviewError) as error:
        read_by(read_by(Case("c1", readings=2), "Ada", 1, "mixed"), "Ada", 2, "mixed")
    assert code_of(error) == "already_read"


def test_where_readings_disagree_an_adjudicator_who_has_not_read_it_decides() -> None:
    case = read_by(read_by(Case("c1", readings=2), "Ada", 1, "mixed"), "Bo", 2, "negative")
    assert case.needs_adjudicator
    with pytest.raises(ReviewError) as error:
        read_by(case, "Cy", 3, "mixed")
    assert code_of(error) == "needs_adjudicator"
    verdict = read_by(case, "Lea", 3, "mixed").verdict
    assert verdict is not None
    assert (verdict.reviewer, verdict.answer.polarity) == ("Lea", "mixed")


def test_an_escalated_case_waits_for_an_adjudicator_and_not_for_who_passed_it_on() -> None:
    case = held_by("Ada")
    case = case.having(release(case, "Ada", 1, POLICY, ending="escalated", reason="a threat?"))
    for policy, reviewer in ((BLIND, "Bo"), (POLICY, "Ada")):
        with pytest.raises(ReviewError) as error:
            claim(case, reviewer, 2, policy, "k2")
        assert code_of(error) == "needs_adjudicator"
    assert claim(case, "Bo", 2, POLICY, "k2").reviewer == "Bo"


def test_a_reading_can_be_taken_back_until_another_agreed_with_it() -> None:
    once = read_by(Case("c1", readings=2), "Ada", 1, "mixed")
    assert once.having(undo(once, "Ada", 2, BLIND)).read == ()
    with pytest.raises(ReviewError) as error:
        undo(read_by(once, "Bo", 2, "mixed"), "Ada", 3, BLIND)
    assert code_of(error) == "nothing_to_undo"
