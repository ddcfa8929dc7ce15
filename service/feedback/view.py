"""One feedback as GET /v1/feedback/{id} tells it: its words, what they were before, and what is concluded from them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from models.journey.event import format_time
from models.journey.rating import STARS
from service.customers import store as customers
from service.customers.words import Said, sort_out
from service.errors import NotFound, shown
from service.events import projector
from service.insights import store as insights
from service.state import State


def feedback_at(state: State, id: str, *, provisional: bool) -> dict[str, Any]:
    """The answer. What is not folded yet is folded on the spot. Raises NotFound."""
    found = projector.find(state, lambda: _found(state, id, provisional))
    if found is None:
        raise NotFound(f"There is no feedback {shown(id)!r}.", "Ask for the id with which it was sent.",
                       code="unknown_feedback", field="feedback_id", value=id)  # fmt: skip
    return found


def _found(state: State, id: str, provisional: bool) -> dict[str, Any] | None:
    with state.service.read() as connection:
        one = customers.words_by_id(connection, id)
        if one is None:
            return None
        everything = customers.words_of(connection, [one.feedback.customer_id])[one.feedback.customer_id]
        found = sort_out(everything, state.settings.repeat_window)
        before = [said for said in found.edited if said.about == one.about]
        twins = {said.about: counted for said, counted in found.repeats}
        now = next(said for said in (*found.counting, *(twin for twin, _ in found.repeats)) if said.about == one.about)
        counted = twins.get(one.about)
        return {
            "feedback_id": one.about,
            "customer_id": now.feedback.customer_id,
            "channel": now.feedback.channel,
            **_words(now),
            "received_at": format_time(now.received_at),
            "rating": _rating(now),
            "language": {"code": now.language, "given": now.language_given} if now.language else None,
            "state": "repeat" if counted else "counted",
            "repeat_of": counted.about if counted else None,
            "earlier": [_words(said) for said in reversed(before)],
            "conclusion": _concluded(connection, counted or now, provisional),
        }


def _words(said: Said) -> dict[str, str]:
    return {"text": said.feedback.text, "said_at": format_time(said.feedback.said_at)}


def _rating(said: Said) -> dict[str, Any] | None:
    stars = said.feedback.rating
    if stars is None:
        return None
    rated = stars if said.rated is None else said.rated
    value = int(rated) if float(rated).is_integer() else rated
    return {"value": value, "scale": said.scale or STARS, "stars": stars}


def _concluded(connection: Connection, said: Said, provisional: bool) -> dict[str, Any] | None:
    """In the shape of an insight's feeling; null until it is concluded."""
    row = insights.current_about(connection, [said.id]).get(said.id)
    return insights.restored(row).to_dict(provisional=provisional) if row is not None else None
