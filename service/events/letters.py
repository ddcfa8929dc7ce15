"""Dead letters: refused events as they were sent, with why and when, until somebody mends the cause and replays them.

A table of log.db, so that a letter is committed together with the accepted events of its request. Keeps, lists, counts
and removes; reading a letter again is replay.py's part. A letter sent again is counted, not kept twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import DAY, Micros, format_time
from service.database import Who, holds, log_metadata, one_of
from service.events.splitting import Beside, Sent, beside_of
from service.events.tombstones import CODE as ERASED
from service.events.tracking import Refusal
from service.settings import Settings

HEAD_BYTES = 1_024
"""How much is kept of an event that is too large to be kept whole."""

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def names(text: str, who: Who) -> bool:
    """Whether a text names a person by one of their ids, or quotes an event of theirs, as a word of its own.

    >>> names('{"userId": "c\\u0031"}', Who(ids=("u:c1",))), names('{"userId": "c12"}', Who(ids=("u:c1",)))
    (True, False)
    """
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace("\\/", "/")
    wanted = {*(id[2:] for id in who.ids), *who.events, *who.feedback}
    return any(one in plain and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", plain) for one in wanted)


def _rows_of(connection: Connection, table: Table, who: Who) -> ColumnElement[bool]:
    """By what they say. Reads every letter: a short id finds some of others', which are refused events as well."""
    columns = table.c.seq, table.c.raw, table.c.beside
    rows = connection.execute(select(*columns).execution_options(yield_per=500))
    return one_of(
        table.c.seq, [row.seq for row in rows if names((row.raw + b" " + row.beside).decode("utf-8", "replace"), who)]
    )


dead_letters = Table(
    "dead_letters",
    log_metadata,
    Column("seq", Integer, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    Column("call", String, nullable=False),
    Column("code", String, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("message_id", String),
    Column("received_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False, index=True),
    Column("times", Integer, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("beside", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
    **holds(
        exported="letters whose text holds an id of the customer",
        erased="letters whose text holds an id of the customer are deleted; all go after letter_days",
        rows=_rows_of,
    ),
)
"""`received_at` is when it came first, `last_at` when last, `times` how often. `whole` letters can be replayed;
`beside` is what stood beside the events of its batch."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused event."""

    seq: int
    call: str
    code: str
    reason: str
    message_id: str | None
    received_at: Micros
    last_at: Micros
    times: int
    size_bytes: int
    whole: bool
    raw: bytes
    beside: bytes

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.seq,
            "code": self.code,
            "reason": self.reason,
            "call": self.call,
            "message_id": self.message_id,
            "first_received_at": format_time(self.received_at),
            "last_received_at": format_time(self.last_at),
            "times": self.times,
            "bytes": self.size_bytes,
            "whole": self.whole,
            "raw": readable(self.raw),
            "beside": readable(self.beside),
        }

    @property
    def sent_beside(self) -> Beside:
        return beside_of(self.beside)


@dataclass(frozen=True, slots=True)
class Count:
    """How many letters there are with one code, how often they came, and when."""

    code: str
    letters: int
    times: int
    first_at: Micros
    last_at: Micros


def keep(connection: Connection, sent: Sent, refusals: Sequence[Refusal], now: Micros, settings: Settings) -> None:
    """Keep what was refused of one request, in the caller's writing transaction; the oldest beyond the limits go.

    Nothing is kept of those who were erased."""
    refusals = [refusal for refusal in refusals if refusal.code != ERASED]
    if not refusals:
        return
    beside = _beside(sent.beside)
    rows = [_row(sent.call, beside, refusal, now, settings.event_bytes) for refusal in refusals]
    new = insert(dead_letters)
    again = new.on_conflict_do_update(
        index_elements=["digest"],
        set_={"times": dead_letters.c.times + 1, "last_at": func.max(dead_letters.c.last_at, now)},
    )
    connection.execute(again, rows)
    newest = connection.execute(select(func.max(dead_letters.c.seq))).scalar() or 0
    connection.execute(delete(dead_letters).where(dead_letters.c.seq <= newest - settings.letters_kept))
    connection.execute(delete(dead_letters).where(dead_letters.c.last_at < now - settings.letter_days * DAY))


def listed(connection: Connection, code: str | None, before: int | None, limit: int) -> list[Letter]:
    """The newest letters, those before number `before` if it is given."""
    wanted = select(dead_letters).order_by(dead_letters.c.seq.desc()).limit(limit)
    if code is not None:
        wanted = wanted.where(dead_letters.c.code == code)
    if before is not None:
        wanted = wanted.where(dead_letters.c.seq < before)
    return [_letter(row) for row in connection.execute(wanted)]


def replayable(connection: Connection, code: str | None, after: int, limit: int) -> list[Letter]:
    """The next whole letters after number `after`, oldest first."""
    wanted = select(dead_letters).where(dead_letters.c.seq > after, dead_letters.c.whole)
    if code is not None:
        wanted = wanted.where(dead_letters.c.code == code)
    return [_letter(row) for row in connection.execute(wanted.order_by(dead_letters.c.seq).limit(limit))]


def counts(connection: Connection) -> list[Count]:
    """Letters by code, the most frequent first."""
    columns = dead_letters.c
    times = func.sum(columns.times)
    wanted = select(
        columns.code, func.count(), times, func.min(columns.received_at), func.max(columns.last_at)
    ).group_by(columns.code).order_by(times.desc(), columns.code)  # fmt: skip
    return [Count(*row) for row in connection.execute(wanted)]


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Take out letters that are in the log now."""
    for number in numbers:
        connection.execute(delete(dead_letters).where(dead_letters.c.seq == number))


def tell_again(connection: Connection, letter: Letter, refusal: Refusal) -> None:
    """Write down why a letter is refused by today's rules."""
    told = {"code": refusal.code, "reason": refusal.reason}
    connection.execute(update(dead_letters).where(dead_letters.c.seq == letter.seq).values(told))


def readable(raw: bytes) -> str:
    """Bytes of a stranger as text that can be shown: what is no text, or cannot be seen, is written as an escape.

    >>> print(readable(b'{"a": "\\xff \\x00"}'))
    {"a": "\\xff \\x00"}
    """
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def _beside(beside: Beside) -> bytes:
    parts = {"context": beside.context, "integrations": beside.integrations, "sentAt": beside.sent_at}
    sent = {name: bytes(raw) for name, raw in parts.items() if bytes(raw)}
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), raw) for name, raw in sent.items()) + b"}" if sent else b""


def _row(call: str, beside: bytes, refusal: Refusal, now: Micros, most_bytes: int) -> dict[str, Any]:
    raw = refusal.raw
    whole = len(raw) + len(beside) <= most_bytes
    digest = hashlib.sha256(b"\0".join((call.encode(), beside, raw))).hexdigest()
    return {
        "digest": digest, "call": call, "code": refusal.code, "reason": refusal.reason,
        "message_id": refusal.message_id, "received_at": now, "last_at": now, "times": 1, "size_bytes": len(raw),
        "whole": whole, "raw": raw if whole else raw[:HEAD_BYTES], "beside": beside if whole else b"",
    }  # fmt: skip


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        row.seq, row.call, row.code, row.reason, row.message_id, row.received_at, row.last_at, row.times,
        row.size_bytes, row.whole, row.raw, row.beside,
    )  # fmt: skip
