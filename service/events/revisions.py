"""Feedback that comes again under its id: a repeat, an edit (other words, said later), or a conflict.

An edit is a row of the log of its own, under an id made from the feedback's, so the log keeps what was said before.
What the newest words are is found again from these rows alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from models.journey.event import Event
from service.events.store import event_of, log
from service.events.words import EDITS, Names
from service.masking import Masking

_BETWEEN, _AFTER = "~", "\x7f"
_DIGITS = 12


class Outcome(Enum):
    NEW = "new"
    REPEATED = "repeated"
    EDITED = "edited"
    CONFLICT = "conflict"


@dataclass
class Revisions:
    """Tells what each feedback is, one after the other; `connection` reads the log, in a transaction that writes it."""

    connection: Connection
    masking: Masking
    _taken: dict[str, list[Event]] = field(default_factory=dict)

    def take(self, event: Event) -> tuple[Outcome, Event]:
        """What this feedback is, and the event to append: the edit where it is one, else as it came."""
        versions = self._taken.setdefault(event.message_id, self._versions(event.message_id))
        if not versions:
            versions.append(event)
            return Outcome.NEW, event
        newest = max(versions, key=lambda one: (one.occurred_at, one.received_at))
        later = event.occurred_at > newest.occurred_at
        same = [newest] if later else versions
        if any(self._content(one) == self._content(event) for one in same):
            return Outcome.REPEATED, event
        if not later or _who(event) != _who(newest):
            return Outcome.CONFLICT, event
        edit = replace(event, message_id=_edit_id(event), properties={**event.properties, EDITS: event.message_id})
        versions.append(edit)
        return Outcome.EDITED, edit

    def _versions(self, id: str) -> list[Event]:
        """What is in the log under this id, and what edits it."""
        mine = (log.c.stream == "feedback", log.c.message_id == id)
        found = [event_of(row) for row in self.connection.execute(select(log).where(*mine))]
        if found:
            after = (log.c.message_id > f"{id}{_BETWEEN}", log.c.message_id < f"{id}{_AFTER}")
            rows = self.connection.execute(select(log).where(log.c.stream == "feedback", *after))
            found += [event for event in map(event_of, rows) if event.properties.get(EDITS) == id]
        return found

    def _content(self, event: Event) -> tuple[Any, ...]:
        """What makes two feedbacks the same. Masked with what is known now: when the first came, its customer's names
        may not have been."""
        names = Names(self.connection).of(event)()
        rest = {name: value for name, value in event.properties.items() if name not in ("text", EDITS)}
        return (*_who(event), event.name, self.masking.mask(event.properties["text"], names), rest)


def revised(connection: Connection, events: Sequence[Event], masking: Masking) -> list[Event]:
    """Events of an import with its edits recognised; a conflict is left to the log, which keeps what it has."""
    revisions = Revisions(connection, masking)
    return [revisions.take(event)[1] if event.kind == "feedback" else event for event in events]


def _who(event: Event) -> tuple[str | None, str | None]:
    return event.user_id, event.anonymous_id


def _edit_id(event: Event) -> str:
    told = [event.occurred_at, event.name, event.properties]
    digest = hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
    return f"{event.message_id}{_BETWEEN}{digest[:_DIGITS]}"
