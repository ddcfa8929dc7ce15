"""Made-up logs for tests of the laws: small pools of ids, times close together, joins, repeats and late arrivals."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.journey.assembly import Assembled
from models.journey.event import DAY, SECOND, Event
from models.journey.journeys import Journeys

NAMES = (
    "Page",
    "Dealer Visited",
    "Order Completed",
    "Email Sent",
    "Survey Answered",
    "Something New",
    "Order Refunded",
)
MOMENT = st.one_of(
    st.integers(0, 40).map(lambda minutes: minutes * 60 * SECOND),
    st.integers(0, 200).map(lambda days: days * DAY),
    st.integers(0, 200 * DAY),
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(("dealer", "web", "Organic Search", "")),
        "value": st.sampled_from((0, 12.5, "19.99", -3, 1e9)),
        "text": st.sampled_from(("fine", "", "thanks a lot")),
        "rating": st.sampled_from((1, "5", 9, None)),
    },
)


@st.composite
def events(draw: st.DrawFn, ids: st.SearchStrategy[str] | None = None) -> Event:
    """One event of one of three people on three devices; clocks may run ahead, so it may be received before it is."""
    occurred_at = draw(MOMENT)
    kind = draw(st.sampled_from(("track", "track", "track", "page", "screen", "identify", "alias", "group")))
    user = draw(st.sampled_from(("u1", "u2", "u3", None)))
    return Event(
        message_id=draw(ids if ids is not None else st.integers(0, 30).map("m{}".format)),
        kind=kind,
        name=draw(st.sampled_from(NAMES)),
        user_id=user,
        anonymous_id=draw(st.sampled_from(("d1", "d2", "d3") if user is None else ("d1", "d2", "d3", None))),
        occurred_at=occurred_at,
        received_at=max(0, occurred_at + draw(st.sampled_from((0, 0, SECOND, DAY, 90 * DAY, -DAY)))),
        properties=draw(PROPERTIES),
        previous_id=draw(st.sampled_from(("u1", "u2", "d1", None))) if kind == "alias" else None,
    )


LOGS = st.lists(events(), max_size=25)


def same_journeys(one: Journeys, other: Journeys) -> bool:
    """Equal to the bit, names and customers included."""
    arrays = ("starts", "occurred_at", "known_at", "code", "amount_minor", "contact")
    return (one.customers, one.names, one.stages) == (other.customers, other.names, other.stages) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


def same_assembled(one: Assembled, other: Assembled) -> bool:
    return (one.feedback, one.repeats) == (other.feedback, other.repeats) and same_journeys(
        one.journeys, other.journeys
    )
