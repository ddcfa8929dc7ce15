"""What marketing tools are told of an insight: written into the outbox only where they would see a difference.

An insight is concluded anew again and again; a tool hears of it when a decision, an answer, flags, the stage or the
preferred channel is another, and of a probability when it moved by a step since it was last told. Everything is seen as
a key without `provisional` sees it: while a person has yet to look, nothing of the model's answer goes out.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, String, Table, Text, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.insight import Conclusion
from models.journey.event import Micros, format_time
from service.database import holds, metadata, one_of
from service.outbox import audiences
from service.outbox.store import Kind, add, add_all, forget_customer

told = Table(
    "insights_told",
    metadata,
    Column("customer_id", String, primary_key=True),
    Column("body", Text, nullable=False),
    **holds("the customer's row", "the customer's row is deleted", json_columns=("body",)),
)
"""Of each customer what tools were last told, as `visible` has it."""

_new = insert(told)
_TELL = _new.on_conflict_do_update(index_elements=["customer_id"], set_={"body": _new.excluded.body})
_OF_JOURNEY = ("stage", "preferred_channel")
_OF_CONCLUSION = ("feedback_id", "definition", "decision", "decided_by", "flags", "answer")
Seen = dict[str, Any]


def visible(insight: Mapping[str, Any]) -> Seen:
    """The part of a public insight whose change is told, in the insight's own shape."""
    return {
        "journey": {name: insight["journey"][name] for name in _OF_JOURNEY},
        "next_touchpoint": _brief(insight["next_touchpoint"]),
        "purchase": [_brief(one) for one in insight["purchase"]],
        "feeling": _brief(insight["feeling"]),
    }


def changed(before: Seen | None, now: Seen, step: float) -> list[str]:
    """Which parts differ; a probability by `step` at least.

    >>> first = {"journey": {"stage": None}, "next_touchpoint": {}, "purchase": [], "feeling": {"answer": None}}
    >>> changed(first, {**first, "feeling": {"answer": "negative"}}, 0.01)
    ['feeling']
    """
    then, here = _parts(before or {}), _parts(now)
    return [name for name in dict.fromkeys([*here, *then]) if _differs(then.get(name), here.get(name), step)]


def tell(
    connection: Connection, insights: Sequence[Mapping[str, Any]], step: float, at: Micros, withdrawn: Container[str]
) -> None:
    """Write down what of these public insights, of a customer each, is news, and who comes into an audience or leaves.

    In the transaction that writes the insights. `withdrawn`: customers who object to being profiled; what was still to
    be told of them is told no more, and they are in no audience.
    """
    last = _last_told(connection, [one["customer_id"] for one in insights])
    news, bodies = list[tuple[Kind, str, dict[str, Any]]](), list[dict[str, str]]()
    for insight in insights:
        customer, now = insight["customer_id"], visible(insight)
        if not (differing := changed(last.get(customer), now, step)):
            continue
        if customer in withdrawn:
            forget_customer(connection, customer)
        bodies.append({"customer_id": customer, "body": msgspec.json.encode(now).decode()})
        about = {"customer_id": customer, "as_of": insight["as_of"], "version": insight["model"]["version"]}
        news.append(("insight.changed", customer, {**about, "changed": differing, **now}))
    if bodies:
        connection.execute(_TELL, bodies)
    add_all(connection, news, at)
    audiences.place(connection, {one["customer_id"]: None if one["customer_id"] in withdrawn else one
                                 for one in insights}, at)  # fmt: skip


def _last_told(connection: Connection, customers: Sequence[str]) -> dict[str, Seen]:
    mine = select(told).where(one_of(told.c.customer_id, customers))
    return {row.customer_id: msgspec.json.decode(row.body) for row in connection.execute(mine)}


def tell_joined(connection: Connection, customer: str, into: str | None, at: Micros) -> None:
    """This id stands for nobody any more: what is known went over to another customer."""
    if connection.execute(delete(told).where(told.c.customer_id == customer)).rowcount:
        body = {"customer_id": customer, "as_of": format_time(at), "changed": ["customer_id"], "joined_to": into}
        add(connection, "insight.changed", customer, body, at)
    audiences.place(connection, {customer: None}, at)


def tell_superseded(
    connection: Connection, customer: str, feedback_id: str, before: Conclusion, after: Conclusion | None, at: Micros
) -> None:
    """Another conclusion took the place of one about some words, or none did; told where a tool sees a difference."""
    was, now = _brief(before.to_dict()), _brief(after.to_dict()) if after else None
    if was == now or before.is_withdrawn or (after is not None and after.is_withdrawn):
        return
    about = {"customer_id": customer, "feedback_id": feedback_id, "kind": before.kind, "concluded_at": format_time(at)}
    add(connection, "conclusion.superseded", customer, {**about, "before": was, "after": now}, at)


def _brief(conclusion: Mapping[str, Any]) -> dict[str, Any]:
    return {name: conclusion[name] for name in _OF_CONCLUSION if name in conclusion}


def _parts(seen: Seen) -> dict[str, Any]:
    found = {f"journey.{name}": value for name, value in seen.get("journey", {}).items()}
    found |= {f"purchase.{one['definition']}": one for one in seen.get("purchase", ())}
    return found | {name: seen[name] for name in ("next_touchpoint", "feeling") if name in seen}


def _differs(then: Any, now: Any, step: float) -> bool:
    if not isinstance(then, dict) or not isinstance(now, dict):
        return bool(then != now)
    if {**then, "answer": None} != {**now, "answer": None}:
        return True
    was, now_is = then.get("answer"), now.get("answer")
    if isinstance(was, float | int) and isinstance(now_is, float | int):
        return round(abs(was - now_is), 6) >= step
    return bool(was != now_is)
