"""POST /v1/predictions: insights about journeys in the body. Nothing is stored, and no case is ever opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.bundle import NoBundle
from models.contradiction import seen_in, with_behaviour
from models.insight import Insight
from models.journey.assembly import Feedback, Step, columns, feedback_in, with_customers
from models.journey.event import Event, Micros
from models.journey.touchpoint import slug
from service.customers import store as customers
from service.customers.consent import objecting_names
from service.errors import TooLarge
from service.events.tracking import MAX_ID, MAX_NAME
from service.events.words import check_text
from service.insights.conclude import latest_of
from service.insights.moments import moment_of
from service.live.bundles import Live
from service.state import State


class EventIn(BaseModel):
    """An event as the tracking API has it, or in short: `event`, `timestamp`, `channel`, `value`; else ignored."""

    model_config = ConfigDict(extra="ignore")

    event: str = Field(
        default="", max_length=MAX_NAME, description="What happened; the name of a page where `type` is page."
    )
    type: Literal["track", "page", "screen"] = "track"
    timestamp: str = Field(description="When, ISO 8601; without a zone it is UTC.")
    messageId: str | None = Field(default=None, max_length=MAX_ID, description="Events with the same one are repeats.")  # noqa: N815
    channel: str | None = Field(default=None, description="Short for properties.channel.")
    value: float | str | None = Field(default=None, description="Short for properties.value.")
    properties: dict[str, Any] = Field(default_factory=dict)
    context: dict[str, Any] = Field(default_factory=dict)


class WordsIn(BaseModel):
    """Something that the customer said."""

    model_config = ConfigDict(extra="forbid")

    text: str
    said_at: str | None = Field(default=None, description="ISO 8601; missing: at `as_of`.")
    channel: str = Field(default="other", max_length=200)
    rating: int | None = Field(default=None, ge=1, le=5)
    id: str | None = Field(default=None, max_length=MAX_ID)


class JourneyIn(BaseModel):
    """One customer's events, in any order, and what they said."""

    model_config = ConfigDict(extra="forbid")

    customer_id: str | None = Field(default=None, max_length=MAX_ID, description="Comes back in the answer.")
    events: list[EventIn] = Field(default_factory=list)
    feedback: list[WordsIn] = Field(default_factory=list)


class PredictionsIn(BaseModel):
    """Up to a thousand journeys, all seen from one moment."""

    model_config = ConfigDict(extra="forbid")

    as_of: str | None = Field(default=None, description="ISO 8601; missing: now. Later events change nothing.")
    explain: bool = Field(default=False, description="Say why beside each answer that can be explained.")
    journeys: list[JourneyIn] = Field(min_length=1)


def predict(state: State, live: Live, given: PredictionsIn) -> list[Insight]:
    """One insight for each journey, in order. Raises Invalid or TooLarge naming the field."""
    _check_number(state, given)
    as_of = moment_of("as_of", given.as_of) if given.as_of is not None else state.clock()
    rows = [f"{number:09d}" for number in range(len(given.journeys))]
    withdrawn = _withdrawn(state, given)
    given = given.model_copy(update={"journeys": [
        JourneyIn(customer_id=one.customer_id) if one.customer_id in withdrawn else one for one in given.journeys
    ]})  # fmt: skip
    steps = [step for row, one in zip(rows, given.journeys, strict=True) for step in _steps(state, row, one)]
    bundle = live.bundle or _no_bundle(state)
    latest = _latest_words(state, given, rows, steps, as_of)
    spoken = [one for one in latest if one is not None]
    found = iter(bundle.conclude_feedback(spoken, state.settings.policy))
    moments = np.full(len(rows), as_of, dtype=np.int64)
    journeys = with_customers(columns(steps), rows)
    feelings = [
        None if one is None else with_behaviour(next(found), one.said_at, seen_in(journeys, row, as_of))
        for row, one in enumerate(latest)
    ]
    insights = bundle.insights(journeys, moments, feelings, live.model, state.settings.policy)
    if given.explain:
        insights = bundle.explained(insights, journeys, moments, latest)
    names = [one.customer_id or f"journey-{number}" for number, one in enumerate(given.journeys)]
    told = [replace(insight, customer_id=name) for insight, name in zip(insights, names, strict=True)]
    return [one.withdrawn(one.journey) if one.customer_id in withdrawn else one for one in told]


def _check_number(state: State, given: PredictionsIn) -> None:
    most, of_these = state.settings.predictions_per_request, ""
    if given.explain:
        most, of_these = min(most, state.settings.explained_per_request), " with explain"
    if len(given.journeys) > most:
        raise TooLarge(f"The request holds {len(given.journeys)} journeys{of_these}.", "Send them in several requests.",
                       code="too_many_journeys", field="journeys",
                       allowed=(f"at most {most} journeys{of_these}",))  # fmt: skip


def _withdrawn(state: State, given: PredictionsIn) -> set[str]:
    """Customers named in the request who objected to being profiled: what was sent of them is not looked at."""
    with state.service.read() as connection:
        return objecting_names(connection, [one.customer_id for one in given.journeys if one.customer_id])


def _no_bundle(state: State) -> NoBundle:
    with state.service.read() as connection:
        return NoBundle(customers.touchpoint_counts(connection))


def _steps(state: State, row: str, journey: JourneyIn) -> list[Step]:
    seen: dict[str, Step] = {}
    for number, one in enumerate(journey.events):
        at = moment_of(f"journeys.{int(row)}.events.{number}.timestamp", one.timestamp)
        short = {"channel": one.channel, "value": one.value}
        properties = {**{name: value for name, value in short.items() if value is not None}, **one.properties}
        message_id = f"{row}:{one.messageId}" if one.messageId else f"{row}#{number:09d}"
        event = Event(message_id, one.type, one.event, row, None, at, at, properties, one.context)
        touchpoint = state.catalogue.touchpoint(event)
        if touchpoint is not None:
            seen.setdefault(message_id, Step(row, at, at, message_id, touchpoint))
    return list(seen.values())


def _latest_words(
    state: State, given: PredictionsIn, rows: Sequence[str], steps: Sequence[Step], as_of: Micros
) -> list[Feedback | None]:
    """What each customer said last, in a feedback or in an event whose rule names a text."""
    said: dict[str, list[Feedback]] = {row: [] for row in rows}
    for one in feedback_in(steps):
        said[one.customer_id].append(replace(one, feedback_id=one.feedback_id[len(one.customer_id) + 1 :]))
    for row, journey in zip(rows, given.journeys, strict=True):
        for number, words in enumerate(journey.feedback):
            field = f"journeys.{int(row)}.feedback.{number}"
            check_text(words.text, state.settings.text_characters, f"{field}.text")
            at = as_of if words.said_at is None else moment_of(f"{field}.said_at", words.said_at)
            id = words.id or f"feedback-{number}"
            channel = slug(words.channel, "other")
            said[row].append(Feedback(id, row, at, at, channel, words.text, words.rating))
    return [latest_of(sorted(said[row], key=lambda one: one.said_at), as_of) for row in rows]
