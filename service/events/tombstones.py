"""Tombstones: keyed hashes of the ids of those who were erased, so that nothing brings them back; and the receipts.

In log.db, so that they are looked at in the very transaction that appends. Sifts events; deletes none that are there
(customers/erasure.py does). Of an id nothing is kept but its hash; the key lies beside it and in backups, nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Event, Micros
from service.database import holds_nothing, log_metadata
from service.events.storable import RefusedError
from service.events.tracking import Received, Refusal

_ERASED = RefusedError("erased", "this customer was erased; nothing is kept of them until the erasure is lifted")
CODE, REASON = _ERASED.code, _ERASED.reason
"""With these an event of somebody who was erased is refused."""
KEY_BYTES = 32

_REMEMBERED: dict[tuple[bytes, int], frozenset[str]] = {}
"""The tombstones of one log as they were last read, by its key and what had become of them."""

tombstones = Table(
    "tombstones",
    log_metadata,
    Column("id_hash", String, primary_key=True),
    Column("tombstone_id", String, nullable=False, index=True),
    **holds_nothing("keyed hashes of ids that are not kept"),
)

tombstone_key = Table(
    "tombstone_key",
    log_metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("changes", Integer, nullable=False),
    **holds_nothing("what the hashes of tombstones are keyed with"),
)
"""`changes` counts what became of tombstones, so that whoever remembers them knows when to read them again."""

erasures = Table(
    "erasures",
    log_metadata,
    Column("tombstone_id", String, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("ids", Text),
    Column("receipt", Text, nullable=False),
    Column("erased_at", BigInteger),
    Column("purged_at", BigInteger),
    Column("lifted_at", BigInteger),
    **holds_nothing("receipts name nobody; the ids of an erasure under way go when it ends"),
)
"""`ids` are there until all rows are deleted: an erasure that is cut off goes on with them. `purged_at` is when both
files were written anew, so that nothing is left between their rows either."""

_SENT_ID = re.compile(rb'"(?:userId|anonymousId|previousId|user_id|anonymous_id)"\s*:\s*("(?:[^"\\]++|\\.)*+"|-?\d+)')


@dataclass(frozen=True, slots=True)
class Sifted:
    """Events that may be kept, without any id of somebody erased in them, and the places of those that may not."""

    kept: Sequence[Event]
    erased: Sequence[int] = ()


def sift(connection: Connection, events: Sequence[Event]) -> Sifted:
    """Take out events of those who were erased; who used a device of theirs keeps the event, without the device."""
    found = erased_among(connection, {id for event in events for id in _ids(event)})
    if not found:
        return Sifted(events)
    kept, places = list[Event](), list[int]()
    for place, event in enumerate(events):
        if (event.user_id or event.anonymous_id) in found:
            places.append(place)
        elif found.intersection(_ids(event)):
            kept.append(_without(event, found))
        else:
            kept.append(event)
    return Sifted(kept, places)


def sift_received(connection: Connection, found: Received) -> Received:
    """The same for a request: what may not be kept is told as refused, with CODE, and holds nothing to keep."""
    sifted = sift(connection, found.events)
    before = {refusal.index for refusal in found.refusals}
    free = [n for n in range(len(before) + len(found.events)) if n not in before] if sifted.erased else []
    dropped = [Refusal(free[place], CODE, REASON, found.events[place].message_id, b"") for place in sifted.erased]
    told = [_nameless(connection, refusal) for refusal in found.refusals]
    return Received(list(sifted.kept), sorted([*told, *dropped], key=lambda one: one.index))


def erased_among(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of these ids (without their kind) that were erased."""
    row = connection.execute(select(tombstone_key)).first()
    if row is None:
        return set()
    erased = _REMEMBERED.get((row.key, row.changes))
    if erased is None:
        erased = frozenset(connection.execute(select(tombstones.c.id_hash)).scalars())
        _REMEMBERED.clear()
        _REMEMBERED[row.key, row.changes] = erased
    return {id for id in ids if hashed(row.key, id) in erased} if erased else set()


def tombstone_of(connection: Connection, id: str) -> str | None:
    """The tombstone under which this id (without its kind) was erased."""
    key = connection.execute(select(tombstone_key.c.key)).scalar()
    mine = tombstones.c.id_hash == hashed(key or b"", id)
    return connection.execute(select(tombstones.c.tombstone_id).where(mine)).scalar()


def put(connection: Connection, tombstone_id: str, ids: Iterable[str]) -> None:
    """Nothing of these ids (without their kind) is kept from now on."""
    key = _changed(connection)
    rows = [{"id_hash": hashed(key, id), "tombstone_id": tombstone_id} for id in sorted(set(ids))]
    connection.execute(insert(tombstones).on_conflict_do_nothing(), rows)


def lift(connection: Connection, tombstone_id: str) -> int:
    """Whoever was erased under it may come again; says how many ids that were."""
    _changed(connection)
    return connection.execute(delete(tombstones).where(tombstones.c.tombstone_id == tombstone_id)).rowcount


def _changed(connection: Connection) -> bytes:
    """Count a change; returns what hashes are keyed with, which is made with the first tombstone."""
    connection.execute(update(tombstone_key).values(changes=tombstone_key.c.changes + 1))
    found: bytes | None = connection.execute(select(tombstone_key.c.key)).scalar()
    if found is None:
        found = secrets.token_bytes(KEY_BYTES)
        connection.execute(insert(tombstone_key).values(key=found, changes=1))
    return found


def hashed(key: bytes, id: str) -> str:
    """BLAKE2b (RFC 7693) of an id, keyed: nobody without the key can tell whether a guessed id is the one.

    >>> hashed(b"k", "c1") == hashed(b"k", "c1"), hashed(b"k", "c1") == hashed(b"other", "c1")
    (True, False)
    """
    return hashlib.blake2b(id.encode("utf-8", "surrogatepass"), key=key, digest_size=32).hexdigest()


def _ids(event: Event) -> list[str]:
    return [id for id in (event.user_id, event.anonymous_id, event.previous_id) if id]


def _without(event: Event, erased: set[str]) -> Event:
    """Its own id is another's, so something of it remains."""
    anonymous_id = None if event.anonymous_id in erased else event.anonymous_id
    return replace(
        event, anonymous_id=anonymous_id, previous_id=None if event.previous_id in erased else event.previous_id
    )


def _nameless(connection: Connection, refusal: Refusal) -> Refusal:
    """A refused event that names somebody erased is refused as such: no letter is kept of it."""
    if refusal.raw and erased_among(connection, _sent_ids(refusal.raw)):
        return Refusal(refusal.index, CODE, REASON, refusal.message_id, b"")
    return refusal


def _sent_ids(raw: bytes) -> set[str]:
    """The ids that stand in an event as it was sent, which need be no JSON otherwise."""
    found = set[str]()
    for one in _SENT_ID.findall(raw):
        try:
            value: Any = msgspec.json.decode(one)
        except (msgspec.MsgspecError, ValueError):
            value = one.decode("utf-8", "replace").strip('"')
        found.add(str(value))
    return found


def begun(connection: Connection, before: Micros) -> list[str]:
    """Erasures begun before that moment whose rows are not all deleted yet."""
    unfinished = (erasures.c.erased_at.is_(None), erasures.c.begun_at < before)
    wanted = select(erasures.c.tombstone_id).where(*unfinished).order_by(erasures.c.begun_at)
    return list(connection.execute(wanted).scalars())


def unpurged(connection: Connection) -> list[str]:
    """Erasures that are done but for writing the files anew."""
    waiting = (erasures.c.erased_at.is_not(None), erasures.c.purged_at.is_(None))
    return list(connection.execute(select(erasures.c.tombstone_id).where(*waiting)).scalars())


def last_purged(connection: Connection) -> Micros | None:
    """When the files were last written anew."""
    purged = select(erasures.c.purged_at).where(erasures.c.purged_at.is_not(None))
    return connection.execute(purged.order_by(erasures.c.purged_at.desc()).limit(1)).scalar()
