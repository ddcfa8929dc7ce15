"""Review as pure functions: laws that no order of actions may break."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.journey.event import SECOND
from models.review import (
    ANSWERS,
    Answer,
    Case,
    Claim,
    Ending,
    ReviewError,
    ReviewPolicy,
    Verdict,
    claim,
    decide,
    release,
    renew,
    revise,
    undo,
)

BLIND = ReviewPolicy(lease_seconds=600, twice_share=1, adjudicators=frozenset({"Lea"}))


class Reviewing(RuleBasedStateMachine):
    """Four people do anything in any order to three cases while time passes, now and then backwards.

    One case is read once and two are read twice; Lea adjudicates.
    """

    reviewers = st.sampled_from(["Ada", "Bo", "Cy", "Lea"])
    case_ids = st.sampled_from(["c1", "c2", "c3"])

    def __init__(self) -> None:
        super().__init__()
        self.at = 10**15
        self.cases = {"c1": Case("c1"), "c2": Case("c2", readings=2), "c3": Case("c3", readings=2)}
        self.acknowledged: dict[str, Verdict] = {}
        self.revisions: set[str] = set()
        self.ids = iter(range(10**6))

    def keep(self, case_id: str, *facts: Claim | Verdict) -> None:
        self.cases[case_id] = self.cases[case_id].having(*facts)

    def refused(self, error: ReviewError, case: Case, reviewer: str) -> None:
        """Each refusal is for the reason that it names."""
        held = case.held_by(reviewer, self.at)
        reasons = {
            "already_decided": case.verdict is not None,
            "already_read": reviewer in {reading.reviewer for reading in case.read},
            "needs_adjudicator": case.needs_adjudicator and reviewer != "Lea" and held is None,
            "held_by_another": held is None and len(case.holders(self.at)) >= case.places,
            "not_held": held is None,
        }
        assert reasons[error.code]

    def refused_again(self, error: ReviewError, case: Case, reviewer: str) -> None:
        assert {"not_decided": case.verdict is None, "needs_adjudicator": reviewer != "Lea"}[error.code]

    @rule(seconds=st.integers(-30, 700))
    def time_passes(self, seconds: int) -> None:
        self.at += seconds * SECOND

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_claims(self, case_id: str, reviewer: str) -> None:
        case = self.cases[case_id]
        try:
            taken = claim(case, reviewer, self.at, BLIND, f"k{next(self.ids)}")
        except ReviewError as error:
            self.refused(error, case, reviewer)
            return
        assert case.held_by(reviewer, self.at) or len(case.holders(self.at)) < case.places
        self.keep(case_id, taken)

    @rule(case_id=case_ids, reviewer=reviewers, ending=st.sampled_from(["released", "skipped", "escalated"]))
    def somebody_gives_back(self, case_id: str, reviewer: str, ending: Ending) -> None:
        case = self.cases[case_id]
        try:
            self.keep(case_id, release(case, reviewer, self.at, BLIND, ending=ending))
        except ReviewError as error:
            self.refused(error, case, reviewer)

    @rule(case_id=case_ids, reviewer=reviewers, polarity=st.sampled_from(["negative", "mixed", "cannot_tell"]))
    def somebody_answers_again(self, case_id: str, reviewer: str, polarity: str) -> None:
        case, verdict_id = self.cases[case_id], f"v{next(self.ids)}"
        try:
            verdict, before = revise(case, reviewer, self.at, Answer(polarity), policy=BLIND, verdict_id=verdict_id)
        except ReviewError as error:
            self.refused_again(error, case, reviewer)
            return
        assert before is not None
        assert case.verdict is not None
        assert (before.verdict_id, before.undone_at) == (case.verdict.verdict_id, self.at)
        assert reviewer in ("Lea", case.verdict.reviewer)
        self.keep(case_id, before, verdict)
        self.acknowledged |= {before.verdict_id: before, verdict_id: verdict}
        self.revisions.add(verdict_id)
        again = revise(self.cases[case_id], reviewer, self.at, Answer(polarity), policy=BLIND, verdict_id=verdict_id)
        assert again == (verdict, None)

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_is_still_there(self, case_id: str, reviewer: str) -> None:
        case = self.cases[case_id]
        try:
            self.keep(case_id, renew(case, reviewer, self.at, BLIND))
        except ReviewError as error:
            self.refused(error, case, reviewer)

    @rule(case_id=case_ids, reviewer=reviewers, polarity=st.sampled_from(ANSWERS[:2]), twice=st.booleans())
    def somebody_decides(self, case_id: str, reviewer: str, polarity: str, twice: bool) -> None:
        verdict_id = f"v{next(self.ids)}"
        for _ in range(2 if twice else 1):
            case = self.cases[case_id]
            try:
                verdict, ended = decide(
                    case, reviewer, self.at, Answer(polarity), shown=True, policy=BLIND, verdict_id=verdict_id
                )
            except ReviewError as error:
                self.refused(error, case, reviewer)
                return
            self.acknowledged[verdict_id] = verdict
            self.keep(case_id, verdict, *([ended] if ended else []))

    @rule(case_id=case_ids, reviewer=reviewers)
    def somebody_takes_back(self, case_id: str, reviewer: str) -> None:
        try:
            undone = undo(self.cases[case_id], reviewer, self.at, BLIND)
        except ReviewError:
            return
        self.acknowledged[undone.verdict_id] = undone
        self.keep(case_id, undone)

    @invariant()
    def nobody_holds_or_reads_a_case_twice(self) -> None:
        for case in self.cases.values():
            standing = [verdict for verdict in case.verdicts if verdict.stands]
            read = [verdict.reviewer for verdict in standing if verdict.verdict_id not in self.revisions]
            assert len(read) == len(set(read))
            mine: dict[str, list[Claim]] = {}
            for one in case.claims:
                mine.setdefault(one.reviewer, []).append(one)
            assert all(self._one_at_a_time(claims) for claims in mine.values())

    def _one_at_a_time(self, claims: list[Claim]) -> bool:
        """Two leases overlap only if the second was taken when the first had run out by the clock of then."""
        running = sorted((one for one in claims if one.runs(self.at)), key=lambda one: one.claimed_at)
        return all(later.claimed_at >= earlier.until for earlier, later in pairwise(running))

    @invariant()
    def a_verdict_is_one_readers_or_several_peoples_that_agree_or_an_adjudicators(self) -> None:
        for case in self.cases.values():
            final = [verdict for verdict in case.verdicts if verdict.stands and verdict.final]
            assert len(final) <= 1
            if not final or final[0].verdict_id in self.revisions:
                continue
            said = {reading.answer.polarity for reading in case.read} | {final[0].answer.polarity}
            agreed = len(case.read) + 1 >= case.readings and len(said) == 1
            assert agreed or final[0].reviewer == "Lea"

    @invariant()
    def no_acknowledged_verdict_is_lost(self) -> None:
        kept = {v.verdict_id: v for case in self.cases.values() for v in case.verdicts}
        assert kept == self.acknowledged


Reviewing.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_no_order_of_actions_breaks_the_laws_of_review = Reviewing.TestCase
