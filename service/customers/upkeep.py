"""What the worker does besides folding and concluding: erasures that were cut off, purges that wait, and retention."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.journey.event import SECOND, Micros
from service.customers import erasure, retention
from service.events import tombstones
from service.state import State

LOOK_EVERY = 600 * SECOND
"""Between two looks for what has become too old."""
PURGE_AGAIN = 60 * SECOND
"""After a purge for which somebody had read or written for too long."""
CUT_OFF = 600 * SECOND
"""After so long whoever began an erasure is taken to be gone; two at once do no harm."""
HOUR = 3_600 * SECOND


@dataclass
class Upkeep:
    """Does a small piece at a time; who runs it decides when."""

    state: State
    _purge_from: Micros = field(default=0, init=False)
    _look_from: Micros = field(default=0, init=False)

    def step(self) -> int:
        """One piece; says how many erasures or rows it was about. 0: there is nothing to do right now."""
        now = self.state.clock()
        with self.state.log.read() as connection:
            begun = tombstones.begun(connection, now - CUT_OFF)
        if begun:
            erasure.carry_out(self.state, begun[0])
            return 1
        if self._purge_due(now):
            self._purge_from = now + PURGE_AGAIN
            return int(erasure.purge(self.state))
        if now < self._look_from:
            return 0
        done = retention.step(self.state)
        if not done:
            self._look_from = now + LOOK_EVERY
        return done

    def _purge_due(self, now: Micros) -> bool:
        """Large databases are written anew seldom, for several erasures at once."""
        if now < self._purge_from:
            return False
        with self.state.log.read() as connection:
            waiting, last = tombstones.unpurged(connection), tombstones.last_purged(connection) or 0
        small = erasure.bytes_of(self.state) <= erasure.AT_ONCE_BYTES
        return bool(waiting) and (small or now >= last + self.state.settings.purge_hours * HOUR)
