"""Served probabilities with what stood behind them, until their horizon has passed and what happened is known.

Tables only: keeping.py says what is kept, checking.py what happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from models.journey.target import Target
from service.database import Database, holds, holds_nothing, metadata

sources = Table(
    "forecast_sources",
    metadata,
    Column("source_id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("policy_digest", String, nullable=False),
    Column("name", String, nullable=False),
    Column("target", Text, nullable=False),
    Column("features", Text, nullable=False),
    UniqueConstraint("version", "digest", "policy_digest", "name"),
    **holds_nothing("which bundle and policy probabilities came from, and what was asked"),
)
"""`target` is Target.to_dict() and `features` the names of what a probability was made of, both as JSON."""

forecasts = Table(
    "forecasts",
    metadata,
    Column("customer_id", String, primary_key=True),
    Column("source_id", Integer, primary_key=True),
    Column("made_at", BigInteger, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("probability", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("decision", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("features", Text, nullable=False),
    Column("happened", Integer),
    Column("checked_at", BigInteger),
    Index("forecasts_due", "due_at", sqlite_where=text("checked_at IS NULL")),
    Index("forecasts_checked", "source_id", "checked_at", sqlite_where=text("checked_at IS NOT NULL")),
    **holds("all rows of the customer", "all rows of the customer are deleted", json_columns=("features",)),
)
"""`happened` is 1 or 0 once it was checked, -1 where nobody can tell any more; `channel` and `stage` are of then."""

quality = Table(
    "forecast_quality",
    metadata,
    Column("name", String, primary_key=True),
    Column("computed_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    **holds_nothing("figures over many customers"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """Which bundle and policy a probability came from, for which target, and what it was made of."""

    version: int
    digest: str
    policy_digest: str
    target: Target
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """One served probability with its interval and the values of its source's `features`."""

    customer_id: str
    made_at: Micros
    due_at: Micros
    probability: float
    low: float
    high: float
    decision: str
    channel: str
    stage: str
    features: tuple[float, ...]


def source_id(connection: Connection, source: Source) -> int:
    """The number of a source, which is written down the first time."""
    key = {"version": source.version, "digest": source.digest, "policy_digest": source.policy_digest,
           "name": source.target.name}  # fmt: skip
    wanted = select(sources.c.source_id).where(*(sources.c[name] == value for name, value in key.items()))
    found = connection.execute(wanted).scalar()
    if found is not None:
        return int(found)
    row = {**key, "target": _json(source.target.to_dict()), "features": _json(source.features)}
    return int(connection.execute(insert(sources).values(row).returning(sources.c.source_id)).scalar_one())


def add(connection: Connection, source: int, forecast: Forecast) -> None:
    """Keep one; the same customer asked at the same moment again is the same forecast."""
    row = {name: getattr(forecast, name) for name in Forecast.__slots__}
    new = insert(forecasts).values(**{**row, "source_id": source, "features": _json(forecast.features)})
    connection.execute(new.on_conflict_do_nothing())


def last_made(connection: Connection, customer_ids: Collection[str]) -> dict[tuple[str, str, int], Micros]:
    """When the newest forecast of each customer was made, by customer, target and version of the model."""
    columns = (forecasts.c.customer_id, sources.c.name, sources.c.version)
    joined = select(*columns, func.max(forecasts.c.made_at)).join(sources, sources.c.source_id == forecasts.c.source_id)
    mine = joined.where(forecasts.c.customer_id.in_(customer_ids)).group_by(*columns)
    return {(customer, name, version): made for customer, name, version, made in connection.execute(mine)}


def due(connection: Connection, until: Micros, limit: int) -> Sequence[Row[Any]]:
    """Forecasts whose horizon ended by then and that nobody has checked, with their target, oldest first."""
    waiting = and_(forecasts.c.checked_at.is_(None), forecasts.c.due_at <= until)
    wanted = select(forecasts, sources.c.target).join(sources, sources.c.source_id == forecasts.c.source_id)
    return connection.execute(wanted.where(waiting).order_by(forecasts.c.due_at).limit(limit)).all()


def settle(connection: Connection, happened: Sequence[tuple[Row[Any], int]], at: Micros) -> None:
    """Write down what happened to each."""
    mine = and_(*(forecasts.c[name] == bindparam(f"its_{name}") for name in _KEY))
    rows = [
        {**{f"its_{name}": getattr(row, name) for name in _KEY}, "came": came, "at": at} for row, came in happened
    ]  # fmt: skip
    if rows:
        connection.execute(update(forecasts).where(mine).values(happened=bindparam("came"), checked_at=bindparam("at")),
                           rows)  # fmt: skip


def drop(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Forget these."""
    keys = [tuple(getattr(row, name) for name in _KEY) for row in rows]
    if keys:
        connection.execute(delete(forecasts).where(tuple_(*(forecasts.c[name] for name in _KEY)).in_(keys)))


def drop_before(connection: Connection, moment: Micros, limit: int) -> int:
    """Forget up to so many that were made before a moment; says how many."""
    rows = connection.execute(select(forecasts).where(forecasts.c.made_at < moment).limit(limit)).all()
    drop(connection, rows)
    return len(rows)


def checked(connection: Connection, name: str, limit: int) -> Sequence[Row[Any]]:
    """The newest checked forecasts of a target, whatever its definition, with their version."""
    known = and_(sources.c.name == name, forecasts.c.checked_at.is_not(None), forecasts.c.happened >= 0)
    wanted = select(forecasts, sources.c.version).join(sources, sources.c.source_id == forecasts.c.source_id)
    return connection.execute(wanted.where(known).order_by(forecasts.c.made_at.desc()).limit(limit)).all()


def firsts_checked(connection: Connection, digest: str, name: str, since: Micros, limit: int) -> Sequence[Row[Any]]:
    """Of a bundle's checked forecasts of a target the first of each customer since a moment, as they were checked."""
    f, mine = forecasts.c, (sources.c.digest == digest, sources.c.name == name, forecasts.c.made_at > since)
    first = select(f.customer_id, func.min(f.made_at).label("first")).join(sources, sources.c.source_id == f.source_id)
    of_each = first.where(*mine).group_by(f.customer_id).subquery()
    same = and_(of_each.c.customer_id == f.customer_id, of_each.c.first == f.made_at)
    wanted = select(forecasts).join(sources, sources.c.source_id == f.source_id).join(of_each, same)
    known = wanted.where(*mine, f.checked_at.is_not(None), f.happened >= 0)
    return connection.execute(known.order_by(f.checked_at, f.customer_id).limit(limit)).all()


def newest_features(
    connection: Connection, name: str, digest: str, features: Sequence[str], limit: int
) -> list[list[float]]:
    """What stood behind the newest forecast of each of the customers who got one last, of one bundle and target."""
    f, newest = forecasts.c, func.max(forecasts.c.made_at)
    of = select(f.customer_id, f.features, newest).join(sources, sources.c.source_id == f.source_id)
    mine = (sources.c.digest == digest, sources.c.name == name, sources.c.features == _json(list(features)))
    rows = connection.execute(of.where(*mine).group_by(f.customer_id).order_by(newest.desc()).limit(limit))
    return [msgspec.json.decode(row.features) for row in rows]


def names(connection: Connection) -> list[str]:
    """Every target that something was kept about."""
    return list(connection.execute(select(sources.c.name).distinct().order_by(sources.c.name)).scalars())


def counts(connection: Connection, name: str, now: Micros) -> dict[str, int]:
    """How many forecasts of a target wait for their horizon, are due, were checked, and cannot be checked."""
    waits, f = forecasts.c.checked_at.is_(None), forecasts.c
    of = {"pending": and_(waits, f.due_at > now), "due": and_(waits, f.due_at <= now),
          "checked": and_(~waits, f.happened >= 0), "uncheckable": and_(~waits, f.happened < 0)}  # fmt: skip
    counted = [func.count().filter(which).label(label) for label, which in of.items()]
    mine = select(*counted).join(sources, sources.c.source_id == f.source_id).where(sources.c.name == name)
    return dict(connection.execute(mine).one()._mapping)


def last_checked(connection: Connection) -> Micros | None:
    """When a forecast was checked last."""
    return connection.execute(select(func.max(forecasts.c.checked_at))).scalar()


def put_quality(connection: Connection, name: str, body: Mapping[str, Any], at: Micros) -> None:
    """Write the figures of a target over those before."""
    new = insert(quality).values(name=name, computed_at=at, body=_json(body))
    said = {"computed_at": at, "body": _json(body)}
    connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=said))


def get_quality(connection: Connection) -> dict[str, tuple[Micros, dict[str, Any]]]:
    """The figures of each target, and when they were computed."""
    rows = connection.execute(select(quality).order_by(quality.c.name))
    return {row.name: (row.computed_at, msgspec.json.decode(row.body)) for row in rows}


def forecast_rows(database: Database, as_of: Micros, batch: int = 5_000) -> Iterator[Mapping[str, Any]]:
    """Every forecast made at or before `as_of`, for export; what was found out later is not told."""
    last: tuple[Any, ...] = ("", -1, -1)
    key = tuple_(*(forecasts.c[name] for name in _KEY))
    joined = select(forecasts, sources).join(sources, sources.c.source_id == forecasts.c.source_id)
    while True:
        wanted = joined.where(forecasts.c.made_at <= as_of, key > last).order_by(*(forecasts.c[n] for n in _KEY))
        with database.read() as connection:
            rows = connection.execute(wanted.limit(batch)).all()
        if not rows:
            return
        for row in rows:
            yield _exported(row, as_of)
        last = tuple(getattr(rows[-1], name) for name in _KEY)


def _exported(row: Row[Any], as_of: Micros) -> dict[str, Any]:
    told = row._mapping
    known = row.checked_at is not None and row.checked_at <= as_of and row.happened >= 0
    values = msgspec.json.decode(told[forecasts.c.features])
    given = zip(msgspec.json.decode(told[sources.c.features]), values, strict=True)
    own = ("customer_id", "made_at", "due_at", "probability", "low", "high", "decision", "channel", "stage")
    return {
        **{name: told[forecasts.c[name]] for name in own},
        **{name: told[sources.c[name]] for name in ("version", "digest", "policy_digest", "target")},
        "definition": told[sources.c.name],
        "features": list(given),
        "happened": bool(row.happened) if known else None,
        "checked_at": row.checked_at if known else None,
    }


_KEY = ("customer_id", "source_id", "made_at")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
