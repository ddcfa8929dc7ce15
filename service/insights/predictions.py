"""Insights about journeys that are sent along. Nothing is stored, and no case is ever opened.

Requests that wait at the same time are concluded together: see gathering.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

from models.bundle import NoBundle
from models.contradiction import seen_in, with_behaviour
from models.insight import Insight
from models.journey.assembly import Feedback, Step, columns, feedback_in, with_customers
from models.journey.event import Event, Micros, format_time, parse_time
from models.journey.touchpoint import Touchpoint, slug
from models.watched import WatchedBundle
from service.customers import store as customers
from service.customers.consent import objecting_names
from service.errors import Problem, TooLarge
from service.events.words import check_text
from service.insights.asked import EventIn, JourneyIn, PredictionsIn
from service.insights.conclude import latest_of
from service.insights.moments import moment_of
from service.live.bundles import Live
from service.promises import store as promises
from service.state import State

_REMEMBERED = 8_192
Kind = Literal["track", "page", "screen"]
NOTHING = JourneyIn()


@dataclass(frozen=True, slots=True)
class Rows:
    """One request as rows: its touchpoints, and the latest words of each journey."""

    as_of: Micros
    names: Sequence[str]
    steps: Sequence[Step]
    latest: Sequence[Feedback | None]
    withdrawn: frozenset[str]
    """Those named who objected to being profiled."""

    @property
    def has_words(self) -> bool:
        """Reading words takes far longer than the rest."""
        return any(self.latest)


class Predictions:
    """Answers requests with what is live; remembers which touchpoint an event in short is."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._short = lru_cache(_REMEMBERED)(self._touchpoint)

    def check(self, given: PredictionsIn) -> None:
        """Raises TooLarge for more journeys than may be in one request."""
        settings, of_these = self._state.settings, ""
        most = settings.predictions_per_request
        if given.explain:
            most, of_these = min(most, settings.explained_per_request), " with explain"
        if len(given.journeys) > most:
            raise TooLarge(f"The request holds {len(given.journeys)} journeys{of_these}.",
                           "Send them in several requests.", code="too_many_journeys", field="journeys",
                           allowed=(f"at most {most} journeys{of_these}",))  # fmt: skip

    def read(self, requests: Sequence[PredictionsIn]) -> list[Rows | Problem]:
        """Each request as rows, or what is wrong with it: it harms no other."""
        withdrawn, read, rows = self._withdrawn(requests), list[Rows | Problem](), 0
        for one in requests:
            try:
                read.append(self._read(one, rows, withdrawn))
                rows += len(one.journeys)
            except Problem as problem:
                read.append(problem)
        return read

    def conclude(
        self, live: Live, read: Sequence[Rows | Problem], *, explain: bool = False
    ) -> list[list[Insight] | Problem]:
        """One insight for each journey of each request, in order; with `explain`, with what moved it beside it."""
        found = iter(self._conclude(live, [one for one in read if isinstance(one, Rows)], explain=explain))
        return [one if isinstance(one, Problem) else [next(found) for _ in one.names] for one in read]

    def check_one(self, journey: JourneyIn) -> None:
        """Raises Invalid for a journey that names no moment or text, or a wrong one."""
        self._read(PredictionsIn([journey]), 0, frozenset())

    def predict_at(self, live: Live, given: PredictionsIn, as_of: Micros) -> list[list[Insight] | Problem]:
        """One request at a moment that is not its own to name, such as when a job was made."""
        return self.conclude(live, self.read([msgspec.structs.replace(given, as_of=format_time(as_of))]))

    def _conclude(self, live: Live, read: Sequence[Rows], *, explain: bool) -> list[Insight]:
        withdrawn = {name for one in read for name in one.withdrawn}
        names = [name for one in read for name in one.names]
        latest = [words for one in read for words in one.latest]
        as_of = np.array([one.as_of for one in read for _ in one.names], dtype=np.int64)
        steps = [step for one in read for step in one.steps]
        rows = with_customers(columns(steps), [_row(number) for number in range(len(names))])
        journeys = replace(rows, customers=tuple(names))  # by these ties are broken: alone as among others
        policy, standing = self._state.settings.policy, promises.standing_now(self._state, live.model.digest)
        bundle = WatchedBundle(live.bundle or self._no_bundle(), standing)
        spoken = iter(bundle.conclude_feedback([one for one in latest if one is not None], policy))
        feelings = [
            None if one is None else with_behaviour(next(spoken), one.said_at, seen_in(journeys, row, int(as_of[row])))
            for row, one in enumerate(latest)
        ]
        insights = bundle.concluded(journeys, as_of, feelings, live.model, policy).insights(behind=False)
        if explain:
            insights = bundle.explained(insights, journeys, as_of, latest)
        return [one.withdrawn(one.journey) if one.customer_id in withdrawn else one for one in insights]

    def _withdrawn(self, requests: Sequence[PredictionsIn]) -> frozenset[str]:
        """Customers named in the requests who objected to being profiled: what was sent of them is not looked at."""
        named = [one.customer_id for given in requests for one in given.journeys if one.customer_id]
        if not named:
            return frozenset()
        with self._state.service.read() as connection:
            return frozenset(objecting_names(connection, named))

    def _no_bundle(self) -> NoBundle:
        with self._state.service.read() as connection:
            return NoBundle(customers.touchpoint_counts(connection))

    def _read(self, given: PredictionsIn, first: int, withdrawn: frozenset[str]) -> Rows:
        """The request as rows from number `first` on. Raises Invalid naming the field."""
        as_of = moment_of("as_of", given.as_of) if given.as_of is not None else self._state.clock()
        names, steps, latest = list[str](), list[Step](), list[Feedback | None]()
        for number, one in enumerate(given.journeys):
            names.append(one.customer_id or f"journey-{number}")
            heard = NOTHING if one.customer_id in withdrawn else one
            own = self._steps(heard, number, _row(first + number))
            steps += own
            latest.append(self._latest_words(heard, number, _row(first + number), own, as_of))
        return Rows(as_of, names, steps, latest, withdrawn)

    def _steps(self, journey: JourneyIn, number: int, row: str) -> list[Step]:
        seen: dict[str, Step] = {}
        for place, one in enumerate(journey.events):
            try:
                at = parse_time(one.timestamp)
            except (ValueError, OverflowError):
                at = moment_of(f"journeys.{number}.events.{place}.timestamp", one.timestamp)
            message_id = f"{row}:{one.messageId}" if one.messageId else f"{row}#{place:09d}"
            in_short = not one.properties and not one.context and one.value is None
            point = self._short(one.type, one.event, one.channel) if in_short else self._touchpoint_of(one)
            if point is not None and message_id not in seen:
                seen[message_id] = Step(row, at, at, message_id, point)
        return list(seen.values())

    def _touchpoint(self, kind: Kind, name: str, channel: str | None) -> Touchpoint | None:
        return self._touchpoint_of(EventIn("", name, kind, channel=channel))

    def _touchpoint_of(self, one: EventIn) -> Touchpoint | None:
        """What an event is does not depend on when it was, or whose."""
        short = {"channel": one.channel, "value": one.value}
        properties = {**{name: value for name, value in short.items() if value is not None}, **one.properties}
        return self._state.catalogue.touchpoint(Event("", one.type, one.event, "", None, 0, 0, properties, one.context))

    def _latest_words(
        self, journey: JourneyIn, number: int, row: str, steps: Sequence[Step], as_of: Micros
    ) -> Feedback | None:
        """What the customer said last, in a feedback or in an event whose rule names a text."""
        said = [replace(one, feedback_id=one.feedback_id[len(row) + 1 :]) for one in feedback_in(steps)]
        for place, words in enumerate(journey.feedback):
            field = f"journeys.{number}.feedback.{place}"
            check_text(words.text, self._state.settings.text_characters, f"{field}.text")
            at = as_of if words.said_at is None else moment_of(f"{field}.said_at", words.said_at)
            id, channel = words.id or f"feedback-{place}", slug(words.channel, "other")
            said.append(Feedback(id, row, at, at, channel, words.text, words.rating))
        return latest_of(sorted(said, key=lambda one: one.said_at), as_of) if said else None


def _row(number: int) -> str:
    """What a journey is called while it is concluded: in order of text as in order of number."""
    return f"{number:09d}"
