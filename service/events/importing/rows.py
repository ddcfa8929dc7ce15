"""Rows as events by a plan; a row that cannot be one is refused by itself, with its number, a code and a reason.

Checked column by column, because a history has millions of rows. Knows neither the log nor the order of receipt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from models.journey.event import KINDS, Event, Micros
from models.journey.touchpoint import slug
from service.errors import shown
from service.events.importing.mapping import TYPES, Cell
from service.events.importing.plan import Plan
from service.events.importing.source import Batch, cells_of
from service.events.importing.times import Read, moments
from service.events.storable import MAX_DEPTH, RefusedError, decode_any, is_plain
from service.events.tracking import MAX_ID, MAX_MESSAGE_ID, MAX_NAME
from service.settings import Settings

_NAMED = ("track", "page", "screen")
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
_EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not kept, why, and the row as it was. `number` counts the rows of the file from 1."""

    number: int
    code: str
    reason: str
    row: Mapping[str, Any]


Refuse: TypeAlias = Callable[[Refused], None]


def _refused(number: int, why: RefusedError, row: Mapping[str, Any]) -> Refused:
    return Refused(number, why.code, why.reason, row)


@dataclass(frozen=True)
class Rows:
    """Reads the batches of one file. `now` is when the import began."""

    plan: Plan
    settings: Settings
    now: Micros

    def events(self, batch: Batch, refuse: Refuse) -> Iterator[Event]:
        """The events of a batch in its order; a row that is none is told to `refuse`."""
        refused = [
            _refused(row.number, RefusedError("unreadable_row", row.reason), {"refused_text": row.text})
            for row in batch.unreadable
        ]
        if batch.numbers:
            yield from _Reading(self, batch).events(refused.append)
        for one in sorted(refused, key=lambda one: one.number):
            refuse(one)

    def received(self, batch: Batch) -> list[Micros]:
        """When the rows were received, as far as that can be read: enough to see whether they are in order."""
        times = self.times(batch)
        return [at for at in map(_received, times["received_at"], times["occurred_at"]) if type(at) is int]

    def times(self, batch: Batch) -> dict[str, list[Read]]:
        nothing: list[Read] = [None] * len(batch.numbers)
        found = {"received_at": nothing, "occurred_at": nothing}
        for name, (column, how) in self.plan.moments.items():
            if column in batch.columns:
                found[name] = moments(batch.columns[column], how)
        return found


def _received(received: Read, occurred: Read) -> Read:
    return occurred if received is None else received


@dataclass
class _Reading:
    """One batch: its columns as values, and the first thing that is wrong with a row, by its place in the batch."""

    rows: Rows
    batch: Batch
    wrong: dict[int, RefusedError] = field(default_factory=dict)
    read: dict[str, list[Any]] = field(default_factory=dict)

    def events(self, refuse: Refuse) -> Iterator[Event]:
        occurred, received = self._times()
        kinds = self._texts("type", "track", MAX_NAME)
        columns = (
            occurred, received, kinds, self._texts("event", "", MAX_NAME), self._texts("user_id", None, MAX_ID),
            self._texts("anonymous_id", None, MAX_ID), self._texts("previous_id", None, MAX_ID),
            self._message_ids(), self._mappings("properties"), self._mappings("context"),
        )  # fmt: skip
        wrong, check = self.wrong, self._event
        for place, row in enumerate(zip(*columns, strict=True)):
            try:
                if place in wrong:
                    raise wrong[place]
                event = check(*row)
            except RefusedError as refused:
                refuse(_refused(self.batch.numbers[place], refused, self._row(place)))
                continue
            yield event

    def _event(
        self, occurred_at: Micros, received_at: Micros, kind: str, name: str, user_id: str | None,
        anonymous_id: str | None, previous_id: str | None, message_id: str, properties: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> Event:  # fmt: skip
        """Checks what concerns several columns."""
        if user_id is None and anonymous_id is None:
            raise RefusedError("id_missing", "user_id and anonymous_id are both empty; an event needs one of them")
        if kind == "track" and not name.strip():
            raise RefusedError("event_missing", "a track needs event, the name of what happened")
        if kind not in _NAMED:
            if kind == "feedback":
                return self._feedback(occurred_at, received_at, user_id, anonymous_id, message_id, properties)
            self._says_who(kind, user_id, previous_id, properties)
            name = ""
        if properties or context:
            self._check_size(properties, context)
        return Event(message_id, kind, name, user_id, anonymous_id, occurred_at, received_at, properties, context,
                     previous_id if kind == "alias" else None)  # fmt: skip

    def _says_who(self, kind: str, user_id: str | None, previous_id: str | None, properties: Mapping[str, Any]) -> None:
        if kind not in KINDS:
            raise RefusedError("unknown_type", f"type {shown(kind)!r}; allowed: {', '.join(TYPES)}")
        if kind == "alias" and (previous_id is None or user_id is None):
            raise RefusedError("previous_id_missing", "an alias needs previous_id and user_id")
        if kind == "group" and not properties.get("groupId"):
            raise RefusedError("group_id_missing", "a group needs groupId among its properties")

    def _check_size(self, properties: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        if _stored_size((properties, context)) > self.rows.settings.event_bytes:
            raise RefusedError("too_large", f"an event has at most {self.rows.settings.event_bytes} bytes")

    def _feedback(
        self, said_at: Micros, received_at: Micros, user_id: str | None, anonymous_id: str | None, message_id: str,
        properties: Mapping[str, Any],
    ) -> Event:  # fmt: skip
        """As POST /v1/feedback keeps it; where both ids are given, the words are the known customer's."""
        text, rating, most = properties.get("text"), properties.get("rating"), self.rows.settings.text_characters
        if not isinstance(text, str) or not text.strip():
            raise RefusedError("text_missing", "feedback needs a text, the customer's own words")
        if len(text) > most:
            raise RefusedError("too_large", f"the text has {len(text)} characters; at most {most} are kept")
        if rating is not None and (isinstance(rating, str) or rating not in (1, 2, 3, 4, 5)):
            raise RefusedError("invalid_value", f"rating {shown(rating)!r}; allowed: 1 to 5, read with number: point")
        kept = {"text": text, "rating": None if rating is None else int(rating)}
        _stored_size(kept)
        return Event(message_id, "feedback", slug(properties.get("channel", ""), "other"), user_id,
                     None if user_id else anonymous_id, said_at, received_at, kept)  # fmt: skip

    def _times(self) -> tuple[list[Any], list[Any]]:
        """When it occurred and was received, never in the future; received no earlier than it occurred."""
        settings, now, times = self.rows.settings, self.rows.now, self.rows.times(self.batch)
        latest = now + settings.future_tolerance
        for name, column in times.items():
            for place, at in enumerate(column):
                if type(at) is int and 0 <= at <= now:
                    continue
                if at is None:
                    if name == "occurred_at":
                        self._refuse(place, RefusedError("invalid_time", f"{self._column(name)} is empty"))
                elif isinstance(at, str):
                    self._refuse(place, RefusedError("invalid_time", f"{self._column(name)}: {at}"))
                elif at < 0:
                    self._refuse(place, RefusedError("invalid_time", f"{self._column(name)} lies before 1970"))
                elif at > latest:
                    ahead = f"lies more than {settings.future_tolerance_seconds} seconds ahead of our clock"
                    self._refuse(place, RefusedError("in_the_future", f"{self._column(name)} {ahead}"))
        received = [
            one if two is None else two for one, two in zip(times["occurred_at"], times["received_at"], strict=True)
        ]
        return times["occurred_at"], received

    def _texts(self, name: str, empty: str | None, longest: int) -> list[Any]:
        column, cell = self.rows.plan.cells.get(name, (None, Cell()))
        made = self._made(name, column, cell)
        found = [one if type(one) is str else _as_text(one) for one in made]
        for place, one in enumerate(found):
            if one is not None and (len(one) > longest or "\0" in one):
                reason = f"{self._column(name)} must have at most {longest} characters and no NUL"
                self._refuse(place, RefusedError("invalid_value", reason))
        return [empty if one is None or one == "" else one for one in found]

    def _message_ids(self) -> list[str]:
        """Their own, else one that the same row of a file of the same name always gets."""
        own = self._texts("message_id", None, MAX_MESSAGE_ID)
        if None not in own:
            return own
        cells = [self._cells(name) for name in sorted(self.batch.columns)]
        source, numbers = self.rows.plan.source[:60], self.batch.numbers
        for place, row in enumerate(zip(*cells, strict=True)):
            if own[place] is None:
                digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
                own[place] = f"{source}-{numbers[place]:09d}-{digest}"
        return own

    def _mappings(self, group: str) -> list[Mapping[str, Any]]:
        """A cell of JSON, and the cells that hold one value each; these win, where they say something."""
        start = len(group) + 1
        cells = self.rows.plan.cells
        names = [ours for ours in cells if ours.startswith(group + ".")]
        single = [self._made(ours, *cells[ours]) for ours in names]
        keys = [ours[start:] for ours in names]
        column = cells.get(f"all_{group}", (None, Cell()))[0]
        if column is None and not keys:
            return [_EMPTY] * len(self.batch.numbers)
        found: list[Any] = [
            {key: one for key, one in zip(keys, row, strict=True) if one is not None and one != ""}
            for row in zip(*single, strict=True)
        ] if keys else [_EMPTY] * len(self.batch.numbers)  # fmt: skip
        if column is None:
            return found
        return [{**self._object(place, column, cell), **one} if cell is not None and cell != "" else one
                for place, (cell, one) in enumerate(zip(self._cells(column), found, strict=True))]  # fmt: skip

    def _object(self, place: int, column: str, cell: Any) -> Mapping[str, Any]:
        try:
            return _DECODE(cell) if isinstance(cell, str) else dict(cell)
        except (ValueError, TypeError, RecursionError):
            self._refuse(place, RefusedError("invalid_value", f"{column} {shown(cell)[:40]!r} is no JSON object"))
            return _EMPTY

    def _made(self, ours: str, column: str | None, cell: Cell) -> list[Any]:
        """What the mapping makes of a column."""
        size = len(self.batch.numbers)
        if cell.constant is not None:
            return [cell.constant] * size
        found = [cell.missing] * size if column is None else self._cells(column)
        if cell.missing is not None:
            found = [cell.missing if one is None or one == "" else one for one in found]
        if cell.values or cell.otherwise is not None:
            found = [self._meaning(one, cell) for one in found]
        if cell.number is not None:
            found = [self._number(place, ours, one, cell) for place, one in enumerate(found)]
        if cell.prefix:
            found = [one if one is None or one == "" else f"{cell.prefix}{one}" for one in found]
        return found

    def _cells(self, column: str) -> list[Any]:
        """A column as Python's own values, made once."""
        if column not in self.read:
            self.read[column] = cells_of(self.batch, column)
        return self.read[column]

    def _meaning(self, said: Any, cell: Cell) -> Any:
        if said is None or said == "" or said == cell.missing:
            return said
        return cell.values.get(str(said).strip().lower(), said if cell.otherwise is None else cell.otherwise)

    def _number(self, place: int, ours: str, said: Any, cell: Cell) -> Any:
        """A number without its thousands: 1,234.5 with a point, 1.234,5 with a comma."""
        if said is None or said == "" or isinstance(said, int | float):
            return said
        thousands, point = (",", ".") if cell.number == "point" else (".", ",")
        text = str(said).strip().replace(thousands, "").replace(point, ".")
        try:
            number = Decimal(text) if len(text) <= 40 else Decimal("nan")
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or abs(number) >= 10**15:
            reason = f"{self._column(ours)} {shown(said)[:40]!r} is no number such as 1234{point}50"
            self._refuse(place, RefusedError("invalid_value", reason))
            return None
        return int(number) if number == number.to_integral_value() else float(number)

    def _refuse(self, place: int, why: RefusedError) -> None:
        self.wrong.setdefault(place, why)

    def _column(self, ours: str) -> str:
        """A column of the file as a reason names it, with what it gives."""
        plan = self.rows.plan
        column = plan.moments[ours][0] if ours in plan.moments else plan.cells.get(ours, (None,))[0]
        return ours if column in (None, ours) else f"{column} ({ours})"

    def _row(self, place: int) -> dict[str, Any]:
        """As it was."""
        found = {name: self._cells(name)[place] for name in self.batch.columns}
        return {name: cell for name, cell in found.items() if cell is not None}


def _stored_size(values: object) -> int:
    """In bytes of JSON. Raises RefusedError for what the log does not take from anybody."""
    try:
        raw = _ENCODE(values)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedError("invalid_value", f"cannot be kept as JSON: {error}") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH or not is_plain(raw):
        decode_any(msgspec.Raw(raw))
    return len(raw)


def _as_text(cell: Any) -> str | None:
    return None if cell is None else str(cell)
