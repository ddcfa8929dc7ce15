"""Dead letters read again, with today's rules: what is fine now goes into the log, the rest says why not.

A letter counts as received when it came first, so that a clock's skew is taken out as it was then; the log, whose order
is the order in which we learned, files it under now. Each batch is one transaction: stopped anywhere, run it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from models.journey.event import Event, Micros
from service.events import letters, store
from service.events.letters import Letter
from service.events.tombstones import CODE as ERASED
from service.events.tombstones import sift
from service.events.tracking import Reader
from service.events.words import before_log
from service.state import State

BATCH = 500
"""Letters of one transaction: short enough that a running service hardly waits for it."""


@dataclass
class Replayed:
    """What became of the letters: now in the log, known there already, or refused still, by code."""

    read: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        return {
            "read": self.read,
            "accepted": self.accepted,
            "repeated": self.repeated,
            "refused": dict(sorted(self.refused.items())),
        }


def replay(
    state: State, code: str | None = None, *, dry_run: bool = False, progress: Callable[[int, int], None]
) -> Replayed:
    """Read every whole letter again, or those with one code; `progress` is told how many were read and taken in.

    With `dry_run` nothing is changed, and the same is told.
    """
    done, after = Replayed(), 0
    while True:
        batch = state.writer.submit(_Batch(state, code, after, dry_run, done, state.clock())).result()
        if not batch:
            return done
        after = batch[-1].seq
        progress(done.read, done.accepted + done.repeated)


@dataclass(frozen=True)
class _Batch:
    """The next letters, on a connection that is in a writing transaction."""

    state: State
    code: str | None
    after: int
    dry_run: bool
    done: Replayed
    now: Micros

    def __call__(self, connection: Connection) -> list[Letter]:
        trial = connection.begin_nested()
        batch = letters.replayable(connection, self.code, self.after, BATCH)
        taken, events, refused = list[int](), list[Event](), Counter[str]()
        for letter in batch:
            reader = Reader(self.state.settings, self.now, self.state.ids, letter.received_at)
            found = reader.reread(letter.call, letter.raw, letter.sent_beside)
            if isinstance(found, Event):
                events.append(found)
                taken.append(letter.seq)
                continue
            refused[found.code] += 1
            if found.code != letter.code:
                letters.tell_again(connection, letter, found)
        allowed = sift(connection, events).kept
        refused += Counter({ERASED: len(events) - len(allowed)})
        kept = before_log(connection, allowed, self.state.masking)
        new = store.append_on(connection, kept, self.now) if events else 0
        letters.remove(connection, taken)
        if self.dry_run:
            trial.rollback()
        else:
            trial.commit()
        self._count(len(batch), new, len(allowed) - new, refused)
        return batch

    def _count(self, read: int, accepted: int, repeated: int, refused: Counter[str]) -> None:
        self.done.read += read
        self.done.accepted += accepted
        self.done.repeated += repeated
        self.done.refused += refused
