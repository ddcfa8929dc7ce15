"""What reviewers do, each as one transaction over claims, verdicts and conclusions; the rules are models/review.py's.

Every function runs inside the caller's write transaction (BEGIN IMMEDIATE), so that two people can never be served the
same case. Knows no HTTP and no page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row

from models.insight import Conclusion
from models.journey.event import SECOND, Micros
from models.review import (
    Answer,
    Case,
    ReviewError,
    ReviewPolicy,
    Verdict,
    claim,
    decide,
    release,
    renew,
    undo,
)
from service.clock import Ids
from service.customers.consent import objecting
from service.insights.store import get_conclusion, restored, supersede
from service.reviews import store

Refresh: TypeAlias = Callable[[Connection, str], None]
"""Writes a customer's insight anew, in the same transaction."""


@dataclass(frozen=True)
class Desk:
    """One reviewer at one moment, with the rules, fresh ids and a way to renew an insight."""

    connection: Connection
    reviewer: str
    at: Micros
    policy: ReviewPolicy
    ids: Ids
    refresh: Refresh

    def holding(self) -> Row[Any] | None:
        """The waiting conclusion that this reviewer holds."""
        return store.held_by(self.connection, self.reviewer, self.at)

    def skipped(self) -> int:
        """How many free cases wait that this reviewer skipped."""
        return store.skipped_by(self.connection, self.reviewer, self.at)

    def take_next(self, *, again: bool = False) -> Row[Any] | None:
        """The case this reviewer holds, or else the next one, claimed; None where nothing is left for them.

        A case of somebody who objected to being profiled meanwhile is not served: it leaves the queue here.
        """
        found = self.holding() or store.next_waiting(self.connection, self.reviewer, self.at, again=again)
        while found is not None and objecting(self.connection, [found.customer_id]):
            self.refresh(self.connection, found.customer_id)
            before, found = found, store.next_waiting(self.connection, self.reviewer, self.at, again=again)
            if found is not None and found.conclusion_id == before.conclusion_id:
                raise RuntimeError("a withdrawn case is still waiting")
        if found is not None:
            self._claim(found)
        return found

    def keep(self, conclusion_id: str) -> None:
        """The lease runs on. Raises ReviewError."""
        row, case = self._case(conclusion_id)
        store.put_claim(self.connection, renew(case, self.reviewer, self.at, self.policy), row.subject)

    def give_back(self, conclusion_id: str, *, skipped: bool = False, reason: str = "") -> None:
        """Back into the queue, or past it for this reviewer. Raises ReviewError."""
        row, case = self._case(conclusion_id)
        ended = release(case, self.reviewer, self.at, skipped=skipped, reason=reason)
        store.put_claim(self.connection, ended, row.subject)

    def answer(self, conclusion_id: str, answer: Answer, verdict_id: str) -> Verdict:
        """A verdict: it supersedes the conclusion and the insight at once. Sent twice, it counts once.

        Raises ReviewError.
        """
        row, case = self._case(conclusion_id)
        verdict, ended = decide(
            case, self.reviewer, self.at, answer,
            shown=shows_model_answer(case, row, self.policy), policy=self.policy, verdict_id=verdict_id,
        )  # fmt: skip
        if verdict in case.verdicts:
            return verdict
        conclusion = answer.of_person(restored(row), self.at)
        new_id = self._supersede(row, conclusion)
        if ended:
            store.put_claim(self.connection, ended, row.subject)
        store.add_verdict(self.connection, verdict, row, new_id, ended.claimed_at if ended else None)
        return verdict

    def undo_last(self) -> Row[Any]:
        """Take the reviewer's last verdict back: the model's conclusion waits again, and the reviewer holds it.

        What they held meanwhile goes back to the queue. Raises ReviewError.
        """
        last = store.last_verdict(self.connection, self.reviewer, 0)
        row = get_conclusion(self.connection, last.conclusion_id) if last else None
        if row is None:
            raise ReviewError("nothing_to_undo", "There is no verdict of yours to take back.")
        verdict = undo(store.case_of(self.connection, row), self.reviewer, self.at, self.policy)
        if held := self.holding():
            self.give_back(held.conclusion_id)
        store.take_back(self.connection, verdict)
        waiting = get_conclusion(self.connection, self._supersede(row, restored(row)))
        if waiting is None:
            raise LookupError(row.conclusion_id)
        self._claim(waiting)
        return waiting

    def last_answered(self) -> Row[Any] | None:
        """The verdict that can still be taken back."""
        return store.last_verdict(self.connection, self.reviewer, self.at - self.policy.undo_seconds * SECOND)

    def _claim(self, row: Row[Any]) -> None:
        case = store.case_of(self.connection, row)
        store.put_claim(self.connection, claim(case, self.reviewer, self.at, self.policy, self.ids()), row.subject)

    def _case(self, conclusion_id: str) -> tuple[Row[Any], Case]:
        row = get_conclusion(self.connection, conclusion_id)
        if row is None or row.decision != "review" or row.decided_by != "model":
            raise ReviewError("not_waiting", f"No case waits under {conclusion_id[:80]!r}. Take the next one.")
        return row, replace(store.case_of(self.connection, row), conclusion_id=conclusion_id)

    def _supersede(self, row: Row[Any], conclusion: Conclusion) -> str:
        new_id = supersede(self.connection, row.conclusion_id, conclusion, self.at, new_id=self.ids())
        current = get_conclusion(self.connection, new_id)
        if current is not None:
            self.refresh(self.connection, current.customer_id)
        return new_id


def shows_model_answer(case: Case, row: Row[Any], policy: ReviewPolicy) -> bool:
    """Whether this reader sees the model's answer first. Once somebody has answered and taken it back, it is known."""
    return bool(case.verdicts) or policy.shows_model_answer(row.subject)
