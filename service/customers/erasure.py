"""Erasure: everything that is held of a customer goes from rows, files and what lies between the rows; a receipt stays.

    begin      in the log's transaction: tombstones, so that nothing more of them comes in, and what is to be done
    carry out  rows of log.db, then of service.db, then files; cut off anywhere, the worker goes on with it
    purge      both databases written anew and their write-ahead files emptied

What is found where is each table's own declaration (walk.py). Exports elsewhere, and backups, cannot be reached: the
receipt tells of the exports.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros, format_time
from service.customers import handed_out, walk
from service.customers.store import resolve
from service.database import Database, Who, log_metadata, metadata
from service.errors import NotFound, Unavailable, unknown_customer
from service.events import catalogues, projector, store, tombstones
from service.events.importing.order import SCRATCH
from service.events.store import log
from service.events.tombstones import erasures
from service.events.words import as_shown
from service.state import State

AT_ONCE_BYTES = 256 * 2**20
"""Databases up to this size are purged before an erasure is answered: it takes a second or two."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased where; names nobody. `purged_at` is null until nothing is left between the rows either."""

    tombstone_id: str
    begun_at: Micros
    by: str
    erased_at: Micros | None
    purged_at: Micros | None
    lifted_at: Micros | None
    found: dict[str, Any]
    """`rows` deleted by table, `others_rows` that named a device of theirs, `exports`, `files` removed, `backups` in
    the data folder, `versions` that learned from them."""

    def sentence(self) -> str:
        if self.lifted_at is not None:
            return f"erasure {self.tombstone_id} is lifted: what they send is kept again"
        rows = sum(self.found.get("rows", {}).values())
        left = [one["folder"] for one in self.found.get("exports", ()) if not one["removed"]]
        told = [f"{rows:,} rows erased, receipt {self.tombstone_id}"]
        left += self.found.get("backups", ())
        told += [f"they are still in {', '.join(left)}: delete these"] if left else []
        told += [] if self.purged_at else ["the files are to be written anew: the worker does it"]
        return "; ".join(told)

    def to_dict(self) -> dict[str, Any]:
        times = {name: getattr(self, name) for name in ("begun_at", "erased_at", "purged_at", "lifted_at")}
        told = {name: None if at is None else format_time(at) for name, at in times.items()}
        return {"tombstone_id": self.tombstone_id, "by": self.by, **told, **self.found}


def erase(state: State, asked: str, by: str) -> Receipt:
    """Erase a customer, by any of their ids; one who was erased before gets the receipt of then.

    Raises NotFound for somebody unknown, Unavailable while history is mapped anew.
    """
    with state.log.read() as connection:
        before = tombstones.tombstone_of(connection, asked)
    with state.service.read() as connection:
        known = walk.who_is(connection, asked) is not None
    tombstone_id = before if before and not known else begin(state, asked, by)
    carry_out(state, tombstone_id)
    if bytes_of(state) <= AT_ONCE_BYTES:
        purge(state)
    return receipt(state, tombstone_id)


def begin(state: State, asked: str, by: str) -> str:
    """From here on nothing of them is kept any more; returns the id of the tombstone."""
    projector.fold_all(state)
    tombstone_id, now = state.ids(), state.clock()
    with state.log.write() as connection:
        projector.fold_all(state)  # what came meanwhile; nothing comes now
        with state.service.read() as service:
            if projector.position(service).seq < store.head(connection):
                raise Unavailable("History is mapped anew right now, so not all of this customer is known.")
            who = walk.who_is(service, asked)
        if who is None:
            raise unknown_customer(asked)
        tombstones.put(connection, tombstone_id, who.customers)
        ids = msgspec.json.encode(who.ids).decode()
        new = insert(erasures).values(tombstone_id=tombstone_id, begun_at=now, by=by, ids=ids, receipt="{}")
        connection.execute(new)
    return tombstone_id


def carry_out(state: State, tombstone_id: str) -> None:
    """Delete what was begun to be erased; again is no harm."""
    with state.log.read() as connection:
        row = _row(connection, tombstone_id)
    if row.ids is None:
        return
    ids, told = tuple(msgspec.json.decode(row.ids)), msgspec.json.decode(row.receipt)
    with state.service.read() as service:
        who = walk.widened(service, Who(ids=ids))
    if "rows" not in told:  # one transaction: either all of it is there, or nothing was done yet
        told = _from_log(state, tombstone_id, who, row.begun_at)
    rows, about = _from_service(state, who, told.pop("known_since"))
    told |= {"rows": {**told["rows"], **rows}, **about, "files": _remove_scratch(state), "backups": _backups(state)}
    with state.log.write() as connection:
        _note(connection, tombstone_id, receipt=_json(told), ids=None, erased_at=state.clock())
    structlog.get_logger().info("customer_erased", tombstone_id=tombstone_id)


def _from_log(state: State, tombstone_id: str, who: Who, begun_at: Micros) -> dict[str, Any]:
    """Their rows of log.db, and what the receipt says so far."""
    _take_off_counts(state, who)
    with state.log.read() as reading, state.log.write() as connection:
        told = msgspec.json.decode(_row(connection, tombstone_id).receipt)
        if "rows" in told:  # somebody else carries it out as well
            return dict(told)
        known_since = _known_since(reading, who, begun_at)
        rows = walk.erased(connection, log_metadata, who, reading)
        others = store.take_ids_out(connection, who, reading)
        told = {"rows": rows, "others_rows": others, "known_since": known_since}
        _note(connection, tombstone_id, receipt=_json(told))
    return told


def _take_off_counts(state: State, who: Who) -> None:
    """Before the events leave the log: a name that only they had must not stay because of a crash in between."""
    with state.log.read() as reading:
        mine = dict(walk.holding(log_metadata))[log](reading, log, who)
        rows = reading.execute(select(log).where(mine, log.c.stream == "event")).all()
        events = as_shown(reading, [store.event_of(row) for row in rows], state.masking)
    with state.service.write() as connection:
        catalogues.uncount(connection, events)


def _from_service(state: State, who: Who, known_since: Micros) -> tuple[dict[str, int], dict[str, Any]]:
    """Their rows of service.db and the exports in reach; says how many, and which exports and versions hold them."""
    with state.service.write() as connection:
        rows = walk.erased(connection, metadata, who)
        theirs = handed_out.since(connection, known_since)
        handed_out.remove_within(connection, theirs, state.settings.data_dir, state.clock())
        theirs = handed_out.since(connection, known_since)
        versions = handed_out.learned_from(connection, state.settings.mlruns_dir, theirs, known_since)
    return rows, {"exports": [one.to_dict() for one in theirs], "versions": versions}


def _known_since(reading: Connection, who: Who, begun_at: Micros) -> Micros:
    """When we first heard of them."""
    finds = dict(walk.holding(log_metadata))[log]
    return reading.execute(select(func.min(log.c.received_at)).where(finds(reading, log, who))).scalar() or begun_at


def _remove_scratch(state: State) -> list[str]:
    """Delete what killed imports left in the data folder; one that runs goes on, for it holds its files open."""
    found = sorted(state.settings.data_dir.glob(f"{SCRATCH}*"))
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in found]


def _backups(state: State) -> list[str]:
    """Backups that older versions wrote into the data folder: they are not touched, only told."""
    data = state.settings.data_dir
    return sorted(str(path.parent) for path in data.glob("**/log.db") if path.parent != data)


def purge(state: State) -> bool:
    """Write both databases anew and empty their write-ahead files, so that of what was erased no byte is left; true
    if that is done. While somebody reads or writes for long it is not, and is to be tried again."""
    with state.log.read() as connection:
        waiting = tombstones.unpurged(connection)
    if not waiting:
        return True
    try:
        clean = [_rewrite(database) for database in (state.log, state.service)]
    except sqlite3.OperationalError as error:
        structlog.get_logger().warning("purge_waits", reason=str(error))
        return False
    if not all(clean):
        return False
    with state.log.write() as connection:
        for tombstone_id in waiting:
            _note(connection, tombstone_id, purged_at=state.clock())
    return True


def _rewrite(database: Database) -> bool:
    """A row that was deleted was overwritten, but not what SQLite left of it when it moved it from page to page: VACUUM
    leaves no such page. Its temporary file holds what is still there, and nothing else."""
    connection = database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("VACUUM")
        busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    finally:
        connection.close()
    return not busy


def bytes_of(state: State) -> int:
    """The size of both databases."""
    folder = state.settings.data_dir
    return sum((folder / f"{database.name}.db").stat().st_size for database in (state.log, state.service))


def lift(state: State, asked: str) -> Receipt:
    """Whoever was erased under this id has come back: what they send is kept again. Raises NotFound."""
    with state.log.write() as connection:
        tombstone_id = tombstones.tombstone_of(connection, asked)
        if tombstone_id is None:
            raise NotFound("Nobody was erased under this id, or it was lifted before.", "See GET /v1/erasures.",
                           code="unknown_erasure")  # fmt: skip
        tombstones.lift(connection, tombstone_id)
        _note(connection, tombstone_id, lifted_at=state.clock())
    return receipt(state, tombstone_id)


def receipt(state: State, tombstone_id: str) -> Receipt:
    """What became of an erasure. Raises NotFound."""
    with state.log.read() as connection:
        return _receipt(_row(connection, tombstone_id))


def receipts(state: State, before: Micros | None, limit: int) -> list[Receipt]:
    """The newest erasures, those begun before a moment if it is given."""
    wanted = select(erasures).order_by(erasures.c.begun_at.desc(), erasures.c.tombstone_id).limit(limit)
    if before is not None:
        wanted = wanted.where(erasures.c.begun_at < before)
    with state.log.read() as connection:
        return [_receipt(row) for row in connection.execute(wanted)]


def everything(state: State, asked: str) -> dict[str, Any]:
    """All that is held of a customer, by any of their ids, as JSON. Raises NotFound."""
    projector.fold_all(state)
    with state.service.read() as service, state.log.read() as connection:
        customer, who = resolve(service, asked), walk.who_is(service, asked)
        if customer is None or who is None:
            raise unknown_customer(asked)
        held = {**walk.exported(connection, log_metadata, who), **walk.exported(service, metadata, who)}
    return {"customer_id": customer, "ids": list(who.ids), "exported_at": format_time(state.clock()), "held": held}


def _row(connection: Connection, tombstone_id: str) -> Row[Any]:
    row = connection.execute(select(erasures).where(erasures.c.tombstone_id == tombstone_id)).first()
    if row is None:
        raise NotFound("There is no such erasure.", "See GET /v1/erasures.", code="unknown_erasure",
                       field="tombstone_id", value=tombstone_id)  # fmt: skip
    return row


def _note(connection: Connection, tombstone_id: str, **values: Any) -> None:
    mine = erasures.c.tombstone_id == tombstone_id
    connection.execute(update(erasures).where(mine).values(values))


def _receipt(row: Row[Any]) -> Receipt:
    found = msgspec.json.decode(row.receipt)
    found.pop("known_since", None)
    return Receipt(row.tombstone_id, row.begun_at, row.by, row.erased_at, row.purged_at, row.lifted_at, found)


def _json(told: dict[str, Any]) -> str:
    return msgspec.json.encode(told).decode()
