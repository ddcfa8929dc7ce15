"""What reviewers do, each as one transaction over claims, verdicts and conclusions; the rules are models/review.py's.

Every function runs inside the caller's write transaction (BEGIN IMMEDIATE), so that two people can never be served the
same case. Knows no HTTP and no page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row

from models.insight import Conclusion, Decision, flags
from models.journey.event import SECOND, Micros
from models.review import (
    Answer,
    Case,
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
from service.clock import Ids
from service.customers.consent import objecting
from service.insights.store import current_about, get_conclusion, restored, supersede
from service.reviews import queue, store
from service.reviews.queue import EVERY, Asking, Filter

Refresh: TypeAlias = Callable[[Connection, str], None]
"""Writes a customer's insight anew, in the same transaction."""


Settle: TypeAlias = Callable[[Connection, str, str | None, Micros], None]
"""The final answer about a subject, or None where it was taken back."""


@dataclass(frozen=True)
class Desk:
    """One reviewer at one moment, with the rules, fresh ids and a way to renew an insight."""

    connection: Connection
    reviewer: str
    at: Micros
    policy: ReviewPolicy
    ids: Ids
    refresh: Refresh
    which: Filter = EVERY
    """Which cases are counted, listed and served."""
    policy_digest: str | None = None
    """The policy of release in force, which is kept with each verdict."""
    settle: Settle = lambda *_: None
    """Tells promises what a person said of what was drawn to be read blind."""

    @property
    def asking(self) -> Asking:
        """What the queue is asked with."""
        return Asking(self.reviewer, self.at, self.policy, self.which)

    def holding(self) -> Row[Any] | None:
        """The waiting conclusion that this reviewer holds."""
        return queue.held_by(self.connection, self.reviewer, self.at)

    def skipped(self) -> int:
        """How many cases this reviewer could have that they skipped."""
        return queue.left_over(self.connection, self.asking)

    def is_offered(self) -> bool:
        """Whether any case is left that this reviewer could have, skipped ones included."""
        return queue.next_waiting(self.connection, self.asking, again=True) is not None

    def take_next(self, *, again: bool = False) -> Row[Any] | None:
        """The case this reviewer holds, or else the next one, claimed; None where nothing is left for them.

        A case of somebody who objected to being profiled meanwhile is not served: it leaves the queue here.
        """
        found = self.holding() or queue.next_waiting(self.connection, self.asking, again=again)
        while found is not None and objecting(self.connection, [found.customer_id]):
            self.refresh(self.connection, found.customer_id)
            before, found = found, queue.next_waiting(self.connection, self.asking, again=again)
            if found is not None and found.conclusion_id == before.conclusion_id:
                raise RuntimeError("a withdrawn case is still waiting")
        if found is not None:
            self._claim(found)
        return found

    def keep(self, conclusion_id: str) -> None:
        """The lease runs on. Raises ReviewError."""
        row, case = self._case(conclusion_id)
        store.put_claim(self.connection, renew(case, self.reviewer, self.at, self.policy), row.subject)

    def give_back(self, conclusion_id: str, *, ending: Ending = "released", reason: str = "") -> None:
        """Back into the queue, past it for this reviewer (`skipped`), or on to an adjudicator. Raises ReviewError."""
        row, case = self._case(conclusion_id)
        ended = release(case, self.reviewer, self.at, self.policy, ending=ending, reason=reason)
        store.put_claim(self.connection, ended, row.subject)

    def answer(self, conclusion_id: str, answer: Answer, verdict_id: str, *, together: bool = False) -> Verdict:
        """A verdict: it supersedes the conclusion and the insight at once. Sent twice, it counts once.

        An independent reading supersedes nothing until enough of them agree. With `together`, other cases of the same
        words are answered the same. Raises ReviewError.
        """
        row, case = self._case(conclusion_id)
        shown = shows_model_answer(case, row, self.policy)
        others = self.alike(row, case) if together else ()
        verdict = self._decide(row, case, answer, verdict_id, shown=shown)
        if verdict not in case.verdicts:
            for other in others:
                found = store.case_of(self.connection, other, self.policy)
                self._decide(other, found, answer, self.ids(), shown=shown, given_with=verdict_id)
        return verdict

    def alike(self, row: Row[Any], case: Case) -> Sequence[Row[Any]]:
        """Other cases of the same words, to be answered with this one; none where it is read twice or escalated."""
        alone = row.words_key is None or case.readings > 1 or case.needs_adjudicator or is_blind(row)
        return () if alone else queue.alike(self.connection, self.asking, row)

    def answer_again(self, subject: str, answer: Answer, verdict_id: str) -> Verdict:
        """A verdict in place of the one that stands about this feedback. Raises ReviewError."""
        row = current_about(self.connection, [subject]).get(subject)
        before = store.standing_about(self.connection, subject)
        if row is None or before is None or row.decided_by != "person":
            raise ReviewError("not_decided", "Nobody's answer stands for these words; if they wait, they are queued.")
        case = store.case_of(self.connection, row, self.policy)
        verdict, ended = revise(case, self.reviewer, self.at, answer, policy=self.policy, verdict_id=verdict_id)
        if ended is not None:
            answered_as = self._supersede(row, answer.of_person(restored(row), self.at))
            store.replace_verdict(self.connection, before, verdict, answered_as, self.policy_digest)
        return verdict

    def undo_last(self) -> Row[Any]:
        """Take the reviewer's last verdict back, with all that were given with it: the model's conclusions wait again,
        and the reviewer holds the case they had read.

        What they held meanwhile goes back to the queue. Raises ReviewError.
        """
        last = store.last_verdict(self.connection, self.reviewer, 0)
        if last is None:
            raise ReviewError("nothing_to_undo", "There is no verdict of yours to take back.")
        others = store.given_with(self.connection, last)
        waiting = self._take_back(last.conclusion_id)
        for other in others:
            self._take_back(other.conclusion_id)
        if held := self.holding():
            self.give_back(held.conclusion_id)
        self._claim(waiting)
        return waiting

    def last_answered(self) -> Row[Any] | None:
        """The verdict that can still be taken back."""
        return store.last_verdict(self.connection, self.reviewer, self.at - self.policy.undo_seconds * SECOND)

    def _decide(
        self, row: Row[Any], case: Case, answer: Answer, verdict_id: str, *, shown: bool, given_with: str | None = None
    ) -> Verdict:
        verdict, ended = decide(
            case, self.reviewer, self.at, answer, shown=shown, policy=self.policy, verdict_id=verdict_id
        )
        if verdict in case.verdicts:
            return verdict
        answered_as = row.conclusion_id
        if verdict.final:
            answered_as = self._supersede(row, answer.of_person(restored(row), self.at))
        if ended:
            store.put_claim(self.connection, ended, row.subject)
        since = ended.claimed_at if ended else None
        given_as = (
            store.ADJUDICATION if case.needs_adjudicator else store.READING if case.readings > 1 else store.SINGLE
        )
        store.add_verdict(self.connection, verdict, row, answered_as, since, given_with,
                          given_as=given_as, policy_digest=row.policy_digest or self.policy_digest)  # fmt: skip
        if verdict.final:
            self.settle(self.connection, row.subject, answer.polarity, self.at)
        return verdict

    def _take_back(self, conclusion_id: str) -> Row[Any]:
        """Undo this reviewer's verdict on a conclusion; returns the one that waits now."""
        row = get_conclusion(self.connection, conclusion_id)
        if row is None:
            raise ReviewError("nothing_to_undo", "There is no verdict of yours to take back.")
        verdict = undo(store.case_of(self.connection, row, self.policy), self.reviewer, self.at, self.policy)
        store.take_back(self.connection, verdict, row)
        if verdict.final:
            self.settle(self.connection, row.subject, None, self.at)
        return self._waits_again(row) if verdict.final else current_about(self.connection, [row.subject])[row.subject]

    def _claim(self, row: Row[Any]) -> None:
        case = store.case_of(self.connection, row, self.policy)
        store.put_claim(self.connection, claim(case, self.reviewer, self.at, self.policy, self.ids()), row.subject)

    def _case(self, conclusion_id: str) -> tuple[Row[Any], Case]:
        row = get_conclusion(self.connection, conclusion_id)
        if row is None or row.place is None:
            raise ReviewError("not_waiting", f"No case waits under {conclusion_id[:80]!r}. Take the next one.")
        return row, store.case_of(self.connection, row, self.policy)

    def _waits_again(self, row: Row[Any]) -> Row[Any]:
        waiting = get_conclusion(self.connection, self._supersede(row, restored(row)))
        if waiting is None:
            raise LookupError(row.conclusion_id)
        return waiting

    def _supersede(self, row: Row[Any], conclusion: Conclusion) -> str:
        new_id = supersede(self.connection, row.conclusion_id, conclusion, self.at, new_id=self.ids())
        current = get_conclusion(self.connection, new_id)
        if current is not None:
            self.refresh(self.connection, current.customer_id)
        return new_id


def is_blind(row: Row[Any]) -> bool:
    """Whether it was drawn at random to be read blind."""
    return row.lot is not None and row.lot < 0


def as_read(row: Row[Any]) -> Conclusion:
    """The conclusion as its reader is told of it: read blind, not even why it came or whether it is released."""
    told = restored(row)
    return replace(told, decision=Decision.REVIEW, flags=flags(["drawn_at_random"])) if is_blind(row) else told


def shows_model_answer(case: Case, row: Row[Any], policy: ReviewPolicy) -> bool:
    """Whether this reader sees the model's answer first: not in an independent reading, nor on the hidden share.

    Once somebody has answered and taken it back, it is known. What was drawn at random is always read blind.
    """
    if is_blind(row):
        return False
    if case.readings > 1 and not case.needs_adjudicator:
        return False
    return any(not verdict.stands for verdict in case.verdicts) or policy.shows_model_answer(row.subject)
