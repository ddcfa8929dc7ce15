"""Conclude: from what is stored of some customers to conclusions about their words and an insight about each.

Looks first, thinks without any lock, and writes only where nothing changed meanwhile; where something did, the customer
stays pending and comes again. What a person has answered is never concluded again by the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, Row

from models.bundle import Bundle, NoBundle
from models.contradiction import seen_in, with_behaviour
from models.insight import Conclusion, Insight, JourneySummary
from models.journey.assembly import Feedback
from models.journey.event import Micros
from models.journey.journeys import Journeys
from models.watched import Key, Standing, WatchedBundle, key_of
from service.customers import consent
from service.customers import store as customers
from service.customers.words import sort_out
from service.events import projector
from service.forecasts.keeping import Last, keep
from service.forecasts.store import last_made
from service.insights import store
from service.insights.shape import answer_of, body_of
from service.insights.told import tell, tell_joined, tell_superseded
from service.live.bundles import Live
from service.promises import sets
from service.promises.drawing import Draw, forget
from service.promises.load import load_of
from service.promises.store import good_until, standing
from service.state import State

TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Known:
    """What is stored of some customers at one moment, read in one transaction."""

    as_of: Micros
    revisions: Mapping[str, int]
    gone: tuple[str, ...]
    journeys: Journeys
    said: Mapping[str, Sequence[Feedback]]
    others: Mapping[str, Sequence[Feedback]]
    """Words that do not count: edited since, or a repeat of others."""
    current: Mapping[str, Row[Any]]
    bundle: Bundle
    standing: Standing
    good_until: Mapping[Key, Micros]
    """Of each withdrawn promise the last moment at which all was well."""
    objecting: Mapping[str, JourneySummary]
    """Customers who are not to be profiled, with the extent of their journeys: those are not read, they are empty."""
    forecasts: Last
    read_by: Micros | None
    """When people are likely to have read what waits now."""
    answered: Mapping[str, Conclusion]
    """What people had answered before the customer objected, by feedback, where the objection was lifted since."""


@dataclass
class Thought:
    """What the bundle concludes from what is known."""

    insights: Sequence[Insight]
    feelings: dict[str, Conclusion] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """How much was concluded."""

    customers: int = 0
    feedback: int = 0


def conclude(state: State, live: Live, customer_ids: Sequence[str]) -> Work:
    """Conclude these customers and keep the result."""
    with state.service.read() as connection:
        known = look(connection, state, live, customer_ids)
    thought = think(known, state, live)
    with state.service.write() as connection:
        return _keep(connection, state, live, known, thought)


def refresh(connection: Connection, customer_id: str, *, state: State, live: Live, at: Micros) -> None:
    """Rewrite one customer's insight in the caller's writing transaction: a verdict has just superseded something.

    Words that have no conclusion yet get one; what another version concluded is left to the worker.
    """
    store.touch(connection, customer_id)
    known = look(connection, state, live, [customer_id], max(at, moment(connection, state)))
    thought = think(known, state, live, anew=False)
    write(connection, state, live, known, thought, thought.insights)


def moment(connection: Connection, state: State) -> Micros:
    """Now; but never before the newest event that was folded, even where the clock was set back."""
    return max(state.clock(), projector.position(connection).received_at)


def look(
    connection: Connection, state: State, live: Live, customer_ids: Sequence[str], at: Micros | None = None
) -> Known:
    """Read all that concluding these customers needs; `at` is the moment to conclude as of, if not now."""
    living = customers.living(connection, customer_ids)
    here = [customer for customer in dict.fromkeys(customer_ids) if customer in living]
    as_of = moment(connection, state) if at is None else at
    said = {
        customer: sort_out(words, state.settings.repeat_window)
        for customer, words in customers.words_of(connection, here, as_of).items()
    }
    objecting = consent.objecting(connection, here)
    current = store.current_about(connection, [one.id for found in said.values() for one in found.all])
    bundle = bundle_of(connection, state, live)
    lifted = [row for row in current.values() if row.customer_id not in objecting]
    return Known(
        as_of=as_of,
        revisions=store.revisions(connection, customer_ids),
        gone=tuple(customer for customer in customer_ids if customer not in living),
        journeys=customers.journeys_of(connection, here, read=[one for one in here if one not in objecting]),
        said={customer: [one.feedback for one in found.counting] for customer, found in said.items()},
        others={customer: [one.feedback for one in found.others] for customer, found in said.items()},
        current=current,
        bundle=bundle,
        standing=bundle.standing,
        good_until=good_until(connection, live.model.digest),
        objecting=customers.extents_of(connection, objecting, as_of),
        forecasts=last_made(connection, here),
        read_by=load_of(state.settings.promises, store.count_read(connection), 0, 1.0, 1.0).read_by(as_of),
        answered=store.answered_before(connection, [row for row in lifted if store.is_withdrawn(row)]),
    )


def bundle_of(connection: Connection, state: State, live: Live) -> WatchedBundle:
    """What is live, under what stands of its promises."""
    stands = standing(connection, live.model.digest, state.settings.promises)
    return WatchedBundle(live.bundle or NoBundle(customers.touchpoint_counts(connection)), stands)


def think(known: Known, state: State, live: Live, *, anew: bool = True) -> Thought:
    """Conclude words that have no conclusion yet or (`anew`) one of another version of the model; then the insights."""
    feelings: dict[str, Conclusion] = {}
    for number, customer in enumerate(known.journeys.customers):
        if customer in known.objecting:
            feelings |= _withdrawn(known, customer)
            continue
        due = [one for one in known.said.get(customer, ()) if _due(known, one.feedback_id, state, live, anew)]
        for first in range(0, len(due), TEXTS_AT_ONCE):
            texts = due[first : first + TEXTS_AT_ONCE]
            found = known.bundle.conclude_feedback(texts, state.settings.policy)
            feelings |= {
                one.feedback_id: known.answered.get(one.feedback_id, conclusion)
                for one, conclusion in zip(texts, found, strict=True)
            }
        feelings |= _contradicted(known, feelings, number, live)
    latest = [_latest(known, feelings, customer) for customer in known.journeys.customers]
    return Thought(insights_of(known, latest, state, live), feelings)


def insights_of(known: Known, latest: Sequence[Conclusion | None], state: State, live: Live) -> list[Insight]:
    """One for each journey as of `known.as_of`, with the latest feeling of each; withdrawn where somebody objected."""
    as_of = np.full(len(known.journeys), known.as_of, dtype=np.int64)
    found = known.bundle.concluded(known.journeys, as_of, latest, live.model, state.settings.policy).insights()
    extents = known.objecting
    return [one.withdrawn(extents[one.customer_id]) if one.customer_id in extents else one for one in found]


def explained(known: Known, insights: Sequence[Insight]) -> list[Insight]:
    """The insights of `known`, with what moved each answer beside it."""
    as_of = np.full(len(known.journeys), known.as_of, dtype=np.int64)
    said = [latest_of(known.said.get(one.customer_id, ()), known.as_of) for one in insights]
    return known.bundle.explained(insights, known.journeys, as_of, said)


def _due(known: Known, subject: str, state: State, live: Live, anew: bool) -> bool:
    row = known.current.get(subject)
    if row is None or store.is_withdrawn(row):
        return True
    if not anew or row.decided_by != "model":
        return False
    decided_so = (row.version, row.policy_digest) == (live.model.version, state.settings.policy.digest)
    return not decided_so or _stands_otherwise(known, row)


def _stands_otherwise(known: Known, row: Row[Any]) -> bool:
    """Released under a promise that was withdrawn since, after all was well for the last time; or held back by one that
    stands again."""
    if row.decision == "auto" and known.standing.withdrawn:
        key = key_of(store.restored(row))
        return key is not None and known.standing.is_withdrawn(key) and row.concluded_at >= known.good_until[key]
    held_back = row.decision == "review" and '"promise_withdrawn"' in row.stored
    return held_back and not known.standing.is_withdrawn(key_of(store.restored(row)))


def _contradicted(known: Known, feelings: Mapping[str, Conclusion], number: int, live: Live) -> dict[str, Conclusion]:
    """What of one customer's words the journey speaks against: new conclusions, and released ones opened again."""
    seen, customer = seen_in(known.journeys, number, known.as_of), known.journeys.customers[number]
    found = {}
    for one in known.said.get(customer, ()):
        row = known.current.get(one.feedback_id)
        stands = row is not None and row.decision == "auto" and row.version == live.model.version
        told = feelings.get(one.feedback_id) or (store.restored(row) if row is not None and stands else None)
        if told is not None and (now := with_behaviour(told, one.said_at, seen)) != told:
            found[one.feedback_id] = now
    return found


def _withdrawn(known: Known, customer: str) -> dict[str, Conclusion]:
    """In place of what is concluded of the words of somebody who objected; of other words nothing is."""
    rows = {one.feedback_id: known.current.get(one.feedback_id) for one in known.said.get(customer, ())}
    standing = {id: row for id, row in rows.items() if row is not None and not store.is_withdrawn(row)}
    return {id: store.restored(row).withdrawn() for id, row in standing.items()}


def _latest(known: Known, feelings: Mapping[str, Conclusion], customer: str) -> Conclusion | None:
    """The conclusion about the last words that could be seen at `as_of`."""
    one = latest_of(known.said.get(customer, ()), known.as_of)
    if one is None:
        return None
    row = known.current.get(one.feedback_id)
    return feelings.get(one.feedback_id) or (store.restored(row) if row is not None else None)


def latest_of(said: Sequence[Feedback], as_of: Micros) -> Feedback | None:
    """The last of these words, in order of time, that had been said and were known at `as_of`."""
    return next((one for one in reversed(said) if one.said_at <= as_of and one.known_at <= as_of), None)


def _keep(connection: Connection, state: State, live: Live, known: Known, thought: Thought) -> Work:
    """Write each customer about whom nothing became known and nothing was concluded since we looked."""
    revisions = store.revisions(connection, list(known.revisions))
    current = store.current_about(connection, list(thought.feelings))
    for customer in known.gone:
        if revisions.get(customer) == known.revisions.get(customer):
            store.remove_customer(connection, customer)
            tell_joined(connection, customer, customers.resolve(connection, customer), known.as_of)
    unchanged = [one for one in thought.insights if _is_as_known(known, thought, one.customer_id, revisions, current)]
    return Work(len(unchanged), write(connection, state, live, known, thought, unchanged))


def _is_as_known(
    known: Known, thought: Thought, customer: str, revisions: Mapping[str, int], current: Mapping[str, Row[Any]]
) -> bool:
    """Whether nothing became known of this customer, and nothing was concluded, since we looked."""
    same_words = all(_id(current, one) == _id(known.current, one) for one in new_words(known, thought, customer))
    return revisions.get(customer) == known.revisions[customer] and same_words


def write(
    connection: Connection, state: State, live: Live, known: Known, thought: Thought, insights: Sequence[Insight]
) -> int:
    """Write the new conclusions and insights of some customers; says how many conclusions.

    What every customer has is written in one statement for all.
    """
    if not insights:
        return 0
    texts = sum(_write_words(connection, state, live, known, thought, one.customer_id) for one in insights)
    due, policy = state.settings.review_due_hours, state.settings.policy
    shown = [answer_of(one, due, read_by=known.read_by) for one in insights]
    hidden = [body_of(one, due, provisional=True, read_by=known.read_by) for one in insights]
    store.put_insights(connection, list(zip(insights, map(msgspec.json.encode, shown), hidden, strict=True)))
    tell(connection, shown, state.settings.probability_step, known.as_of, known.objecting)
    for one in insights:
        keep(connection, one, policy, known.forecasts, state.settings.forecast_spacing)
    sets.keep(connection, insights, policy.digest)
    store.concluded(connection, {one.customer_id: known.revisions[one.customer_id] for one in insights})
    return texts


def _write_words(
    connection: Connection, state: State, live: Live, known: Known, thought: Thought, customer: str
) -> int:
    """Write what was concluded just now of one customer's words, and end what no longer counts; says how many."""
    new = new_words(known, thought, customer)
    draw = Draw.now(connection, state.settings.promises, live.model) if new else None
    for one in new:
        conclusion, row = thought.feelings[one.feedback_id], known.current.get(one.feedback_id)
        if row is not None:
            tell_superseded(connection, customer, one.feedback_id, store.restored(row), conclusion, known.as_of)
        if draw is not None:
            conclusion = draw.sampled(connection, customer, one.feedback_id, conclusion, known.as_of)
        store.add(connection, state.ids(), customer, one.feedback_id, conclusion, live.model, known.as_of,
                  state.settings.policy.digest)  # fmt: skip
    for one in known.said.get(customer, ()):
        row = known.current.get(one.feedback_id)
        if row is not None and row.customer_id != customer:
            store.move(connection, one.feedback_id, customer)
    for one in known.others.get(customer, ()):
        if (row := known.current.get(one.feedback_id)) is not None:
            tell_superseded(connection, customer, one.feedback_id, store.restored(row), None, known.as_of)
            store.retire(connection, one.feedback_id, known.as_of)
            forget(connection, one.feedback_id)
    return len(new)


def new_words(known: Known, thought: Thought, customer: str) -> list[Feedback]:
    """The words of this customer that were concluded just now."""
    return [one for one in known.said.get(customer, ()) if one.feedback_id in thought.feelings]


def _id(current: Mapping[str, Row[Any]], one: Feedback) -> str | None:
    row = current.get(one.feedback_id)
    return row.conclusion_id if row else None
