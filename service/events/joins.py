"""Who is who, as it is folded: the claims that events made, the splits that undid some, and the places they lead to.

Keeps evidence and moves what was folded of an id when its customer changes; which claims stand is decided by
models/journey/identity.py. Looks at the claims around what has changed only: those that hang together, not going on
beyond an id that is shared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Index, Row, String, Table, Text, func, select, text

from models.journey.claims import DEVICE, KNOWN, SPLIT, Claim, Pair, Rules, Split, bare, claims_of, own_id, split_of
from models.journey.event import EARLIEST, Event, Micros
from models.journey.identity import Evidence
from service.database import holds, insert_new, metadata
from service.events.folded import identities

joins = Table(
    "joins",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, primary_key=True, index=True),
    Column("rule", String, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("message_id", String, nullable=False),
    Column("refused", String),
    **holds(exported="rows of every id of the customer", erased="rows with any id of the customer are deleted"),
)
"""A claim for each pair of ids: see Claim. `refused` says why it does not stand; null where it does."""
Index("joins_refused", joins.c.refused, sqlite_where=text("refused IS NOT NULL"))

splits = Table(
    "splits",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, primary_key=True, index=True),
    Column("known_at", BigInteger, nullable=False),
    Column("message_id", String, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", Text, nullable=False),
    **holds(exported="rows of every id of the customer", erased="rows with any id of the customer are deleted"),
)
"""Claims that were undone, by whom and why."""

Spot = tuple[str, Micros]
"""The customer of an id, and from when that was known."""


@dataclass(frozen=True)
class Learned:
    """Where the ids of a batch belong now, and every customer that gained or lost an id or an event by it."""

    spots: Mapping[str, Spot]
    changed: set[str]


@dataclass(frozen=True)
class Joining:
    """Learns who is who on one connection, which is in a transaction that writes."""

    connection: Connection
    rules: Rules

    def learn(self, events: Sequence[Event]) -> Learned:
        """Keep what these events claim and undo, and re-thread what that moves."""
        told = Evidence()
        ids = set[str]()
        for event in events:
            if event.kind == SPLIT:
                if split := split_of(event):
                    told.undo(split)
                continue
            for claim in claims_of(event, self.rules):
                told.learn(claim)
            ids.add(own_id(event))
        ids = ids.union(*told.claims, *told.splits)
        known = {row.id: row for row in self._rows("identities", "id", ids)}
        spots = {id: (row.customer_id, row.known_at) for id, row in known.items()}
        fresh, undone = self._keep_claims(told), self._keep_splits(told, events)
        lone = self._lone(fresh, undone)
        rest = {pair: claim for pair, claim in fresh.items() if pair not in lone}
        changed = set[str]()
        if rest or undone:
            placed, changed = self._rethread(rest, undone, known)
            spots |= placed
        if lone:
            above = {owner: spots.get(owner, (bare(owner), EARLIEST)) for _, owner in lone}
            placed = {
                id: (above[owner][0], max(above[owner][1], claim.known_at)) for (id, owner), claim in lone.items()
            }
            changed |= self._move(placed, {}, known)
            spots |= placed
        alone = {id: (bare(id), EARLIEST) for id in ids if id not in spots}
        insert_new(self.connection, identities, [(id, *alone[id], None) for id in sorted(alone)])
        spots |= alone
        return Learned(spots, changed | {spots[id][0] for id in ids})

    def _keep_claims(self, told: Evidence) -> dict[Pair, Claim]:
        """The claims of which something new was told."""
        if not told.claims:
            return {}
        pairs = """
            SELECT joins.* FROM json_each(?) AS given CROSS JOIN joins
            ON joins.id = json_extract(given.value, '$[0]') AND joins.owner = json_extract(given.value, '$[1]')"""
        rows = self.connection.exec_driver_sql(pairs, (as_json(list(told.claims)),))
        stored = {claim.pair: claim for claim in map(claim_in, rows)}
        fresh = []
        for claim in told.claims.values():
            before = stored.get(claim.pair)
            if before is None or before.both(claim) != before:
                fresh.append(claim if before is None else before.both(claim))
        columns = ("id", "owner", "rule", "occurred_at", "told_at", "known_at", "message_id")
        put_rows(self.connection, "joins", columns, [tuple(getattr(one, name) for name in columns) for one in fresh])
        return {claim.pair: claim for claim in fresh}

    def _keep_splits(self, told: Evidence, events: Iterable[Event]) -> list[Pair]:
        if not told.splits:
            return []
        said = {event.message_id: event.properties for event in events if event.kind == SPLIT}
        rows = [
            (one.id, one.owner, one.known_at, one.message_id, str(said[one.message_id].get("by", "")),
             str(said[one.message_id].get("reason", "")))
            for one in told.splits.values()
        ]  # fmt: skip
        insert_new(self.connection, splits, rows)
        return list(told.splits)

    def _lone(self, fresh: Mapping[Pair, Claim], undone: Sequence[Pair]) -> dict[Pair, Claim]:
        """Of these the claims of known users on devices that nobody else ever claimed, and nobody split off: most.

        They stand, and change nothing for others: such a device is where its user is, and nothing needs deciding.
        """
        devices = {
            claim.id for claim in fresh.values() if claim.id.startswith(DEVICE) and claim.owner.startswith(KNOWN)
        }
        if not devices:
            return {}
        given = "SELECT value FROM json_each(?)"
        sql = (f"SELECT id FROM joins WHERE id IN ({given}) GROUP BY id HAVING count(*) > 1 "  # noqa: S608 - own words
               f"UNION SELECT id FROM splits WHERE id IN ({given})")  # fmt: skip
        values = as_json(sorted(devices))
        devices -= set(self.connection.exec_driver_sql(sql, (values, values)).scalars())
        touched = {id for pair in undone for id in pair}
        return {pair: claim for pair, claim in fresh.items() if claim.id in devices and not touched.intersection(pair)}

    def _rethread(
        self, fresh: Mapping[Pair, Claim], undone: Sequence[Pair], known: Mapping[str, Row[Any]]
    ) -> tuple[dict[str, Spot], set[str]]:
        """Decide what hangs together with these pairs, and write what is different now."""
        evidence, refused, shared = self._around(fresh, undone)
        found = evidence.resolve(self.rules, shared)
        missing = found.places.keys() - known.keys()
        known = {**known, **{row.id: row for row in self._rows("identities", "id", missing)}}
        why = [(*pair, found.refused.get(pair)) for pair in evidence.claims if found.refused.get(pair) != refused[pair]]
        if why:
            sql = """
                UPDATE joins SET refused = json_extract(given.value, '$[2]') FROM json_each(?) AS given
                WHERE joins.id = json_extract(given.value, '$[0]') AND owner = json_extract(given.value, '$[1]')"""
            self.connection.exec_driver_sql(sql, (as_json(why),))
        spots = {id: (bare(place.id), place.known_at) for id, place in found.places.items()}
        return spots, self._move(spots, found.shared, known)

    def _move(self, spots: Mapping[str, Spot], shared: Mapping[str, Micros], known: Mapping[str, Row[Any]]) -> set[str]:
        """Write where these ids belong and move what was folded of them; returns whoever lost or gained by it."""
        new = [(id, *spots[id], shared.get(id)) for id in sorted(spots.keys() - known.keys())]
        insert_new(self.connection, identities, new)
        moved, changed = [], set[str]()
        for id, spot in spots.items():
            row = known.get(id)
            if row is None:
                continue
            if spot != (row.customer_id, row.known_at):
                moved.append((id, *spot))
                changed |= {row.customer_id, spot[0]}
            if row.shared_at != shared.get(id):
                flag = identities.update().where(identities.c.id == id)
                self.connection.execute(flag.values(shared_at=shared.get(id)))
        update_rows(self.connection, "identities", "id", "customer_id = {1}, known_at = {2}", moved)
        for table in ("touchpoints", "feedback"):
            change = "customer_id = {1}, known_at = max(received_at, {2})"
            update_rows(self.connection, table, "own_id", change, moved)
        return changed

    def _around(
        self, fresh: Mapping[Pair, Claim], undone: Sequence[Pair]
    ) -> tuple[Evidence, dict[Pair, str | None], dict[str, Micros]]:
        """All claims that hang together with these, why they were refused, and which ids are known to be shared.

        Only a split can make a shared id one that is not: else there is no need to see all claims on it.
        """
        again = {id for pair in undone for id in pair}
        seen = again.union(*fresh)
        shared = self._shared(seen - again)
        rows: dict[Pair, Row[Any]] = {}
        frontier = seen - shared.keys()
        while frontier:
            for column in ("id", "owner"):
                rows |= {(row.id, row.owner): row for row in self._rows("joins", column, frontier)}
            near = {id for pair in rows for id in pair} - seen
            seen |= near
            shared |= self._shared(near)
            frontier = near - shared.keys()
        claims = {**fresh, **{pair: claim_in(row) for pair, row in rows.items()}}
        undoing = self._rows("splits", "id", {id for id, _ in claims})
        told = {(row.id, row.owner): Split(row.id, row.owner, row.known_at, row.message_id) for row in undoing}
        refused = {pair: rows[pair].refused if pair in rows else None for pair in claims}
        return Evidence(claims, told), refused, shared

    def _shared(self, ids: Collection[str]) -> dict[str, Micros]:
        if not ids:
            return {}
        given = "SELECT value FROM json_each(?)"
        sql = f"SELECT id, shared_at FROM identities WHERE shared_at IS NOT NULL AND id IN ({given})"  # noqa: S608
        return {row.id: row.shared_at for row in self.connection.exec_driver_sql(sql, (as_json(sorted(ids)),))}

    def _rows(self, table: str, column: str, values: Collection[str]) -> Sequence[Row[Any]]:
        """The rows with one of these values."""
        if not values:
            return []
        query = f"SELECT * FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - own names
        return self.connection.exec_driver_sql(query, (as_json(sorted(values)),)).all()


def claim_in(row: Row[Any]) -> Claim:
    """The claim that a row of `joins` holds."""
    return Claim(row.id, row.owner, row.rule, row.occurred_at, row.told_at, row.known_at, row.message_id)


def count_refused(connection: Connection) -> dict[str, int]:
    """How many claims do not stand, by reason."""
    counted = select(joins.c.refused, func.count()).where(joins.c.refused.is_not(None)).group_by(joins.c.refused)
    return {row[0]: row[1] for row in connection.execute(counted)}


def put_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows or write over those with the same `id` and `owner`, which come first; one statement for all."""
    if not rows:
        return
    values = ", ".join(f"json_extract(given.value, '$[{n}]')" for n in range(len(columns)))
    change = ", ".join(f"{name} = excluded.{name}" for name in columns[2:])
    sql = (f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM json_each(?) AS given "  # noqa: S608 - own names
           f"WHERE true ON CONFLICT (id, owner) DO UPDATE SET {change}")  # fmt: skip
    connection.exec_driver_sql(sql, (as_json(rows),))


def update_rows(connection: Connection, table: str, key: str, change: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One UPDATE for all rows: (key, {1}, {2}, …)."""
    if not rows:
        return
    values = [f"json_extract(given.value, '$[{n}]')" for n in range(len(rows[0]))]
    sql = (f"UPDATE {table} SET {change.format(*values)} "  # noqa: S608 - own names
           f"FROM json_each(?) AS given WHERE {table}.{key} = {values[0]}")  # fmt: skip
    connection.exec_driver_sql(sql, (as_json(rows),))


def as_json(values: object) -> str:
    """Many values as one: a statement a row would each time give the interpreter's lock away, and cost more than it
    does."""
    return msgspec.json.encode(values).decode()
