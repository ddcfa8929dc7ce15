"""One customer's insight: the stored one, or as it could have been concluded at another moment. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import numpy as np
from sqlalchemy import Connection

from models.concluded import Concluded
from models.contradiction import seen_in, with_behaviour
from models.insight import Conclusion, Insight
from models.journey.assembly import Feedback
from models.journey.claims import ids_for
from models.journey.event import Micros
from service.customers import store as customers
from service.customers.consent import objecting
from service.customers.identity import find_customer
from service.database import Database
from service.errors import Invalid, shown, unknown_customer
from service.insights import store
from service.insights.conclude import bundle_of, conclude, explained, insights_of, latest_of, look, moment
from service.insights.moments import check_past
from service.insights.shape import answer_of
from service.live.bundles import Live
from service.state import State

FIELDS = ("customer_id", "as_of", "model", "journey", "next_touchpoint", "purchase", "feeling")
"""What an insight consists of."""
_STORED = """
    SELECT identities.id, insights.{body},
           EXISTS (SELECT 1 FROM identities AS own JOIN consents ON consents.id = own.id AND consents.objects
                   WHERE own.customer_id = identities.customer_id)
    FROM identities LEFT JOIN insights ON insights.customer_id = identities.customer_id
    WHERE identities.id IN (SELECT value FROM json_each(?))"""
_BODIES = {
    provisional: _STORED.format(body="provisional_body" if provisional else "body") for provisional in (True, False)
}


class StoredInsights:
    """Reads what the worker keeps, on a connection of its own, for one thread that must not wait: who reads never waits
    for who writes."""

    def __init__(self, database: Database) -> None:
        self._held = database.engine.raw_connection()

    def find(self, asked: str, *, provisional: bool) -> bytes | None:
        """The answer's bytes, by any id; None where there is none, or what is stored may not be told."""
        ids = ids_for(asked)
        cursor = self._held.cursor()
        found = cursor.execute(_BODIES[provisional], (msgspec.json.encode(ids).decode(),)).fetchall()
        cursor.close()
        rows = {id: (body, withdrawn) for id, body, withdrawn in found}
        body, withdrawn = next((rows[id] for id in ids if id in rows), (None, None))
        return None if withdrawn else cast("bytes | None", body)

    def close(self) -> None:
        self._held.close()


def current(state: State, live: Live, asked: str, *, provisional: bool) -> bytes:
    """What we conclude now, as bytes; concluded on the spot where the worker has not come to it. Raises NotFound."""
    customer = find_customer(state, asked)
    with state.service.read() as connection:
        row = store.get_insight(connection, customer)
        withdrawn = bool(objecting(connection, [customer]))
        now = moment(connection, state)
    if withdrawn:
        return msgspec.json.encode(answer_of(insight_at(state, live, customer, now), None))
    if row is None:
        conclude(state, live, [customer])
        with state.service.read() as connection:
            row = store.get_insight(connection, customer)
    if row is None:
        raise unknown_customer(asked)
    return bytes(row.provisional_body if provisional else row.body)


def insight_at(state: State, live: Live, customer: str, at: Micros | None, *, explain: bool = False) -> Insight:
    """As it could have been concluded at that moment (None: now): by today's model, from what was known then.

    With `explain`, answers come with what moved them. Raises Invalid for a moment to come.
    """
    with state.service.read() as connection:
        now = moment(connection, state)
        as_of = now if at is None else at
        check_past(as_of, now)
        known = look(connection, state, live, [customer], as_of)
        said = latest_of(known.said.get(customer, ()), as_of)
        feeling = None if said is None else store.concluded_at(connection, said.feedback_id, as_of)
    if said is not None and feeling is None and not known.objecting:
        feeling = known.bundle.conclude_feedback([said], state.settings.policy)[0]
        feeling = with_behaviour(feeling, said.said_at, seen_in(known.journeys, 0, as_of))
    insight = insights_of(known, [feeling], state, live)
    return explained(known, insight)[0] if explain else insight[0]


def concluded_at(state: State, live: Live, customer_ids: Sequence[str], at: Micros) -> Concluded:
    """Of many customers at once, as `insight_at`, in columns; nothing of those who object to being profiled, or are
    unknown."""
    policy = state.settings.policy
    with state.service.read() as connection:
        there = customers.living(connection, customer_ids) - objecting(connection, customer_ids)
        here = [one for one in dict.fromkeys(customer_ids) if one in there]
        journeys, bundle = customers.journeys_of(connection, here), bundle_of(connection, state, live)
        said = customers.feedback_of(connection, here, at, state.settings.repeat_window)
        latest = [latest_of(said.get(one, ()), at) for one in here]
        feelings = _stood(connection, [one for one in latest if one is not None], at)
    found = [None if one is None else feelings.get(one.feedback_id) for one in latest]
    new = [(row, one) for row, one in enumerate(latest) if one is not None and found[row] is None]
    for (row, one), feeling in zip(new, bundle.conclude_feedback([one for _, one in new], policy), strict=True):
        found[row] = with_behaviour(feeling, one.said_at, seen_in(journeys, row, at))
    return bundle.concluded(journeys, np.full(len(here), at, dtype=np.int64), found, live.model, policy)


def _stood(connection: Connection, said: Sequence[Feedback], at: Micros) -> dict[str, Conclusion]:
    """What stood about these words at that moment, by feedback; nothing where nothing was concluded yet."""
    current = store.current_about(connection, [one.feedback_id for one in said])
    found = {id: store.restored(row) for id, row in current.items() if row.concluded_at <= at}
    for one in said:
        if one.feedback_id not in found and (stood := store.concluded_at(connection, one.feedback_id, at)):
            found[one.feedback_id] = stood
    return found


def fields_in(given: str | None) -> Sequence[str] | None:
    """The fields named with commas between; None where all are meant. Raises Invalid for one that there is not."""
    if given is None:
        return None
    named = [one.strip() for one in given.split(",")]
    for one in named:
        if one not in FIELDS:
            raise Invalid(f"An insight has no field {shown(one)!r}.", "Name allowed ones, with commas between.",
                          field="fields", value=one, allowed=FIELDS)  # fmt: skip
    return named


def only(insight: Mapping[str, Any], fields: Sequence[str] | None) -> Mapping[str, Any]:
    """Of an insight the fields asked for, in the order of an insight; whose it is and as of when is always told."""
    if fields is None:
        return insight
    kept = {"customer_id", "as_of", *fields}
    return {name: value for name, value in insight.items() if name in kept}
