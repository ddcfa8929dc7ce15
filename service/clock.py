"""The moment and fresh ids as things that are passed in, so that a test can stop the one and foretell the other.

Knows no format of times (models/journey/event.py does).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

from models.journey.event import Micros

Clock: TypeAlias = Callable[[], Micros]
"""Says the moment in microseconds since the Unix epoch, UTC."""

Ids: TypeAlias = Callable[[], str]
"""Makes an id that nobody has made before."""


def system_clock() -> Micros:
    """The machine's clock."""
    return time.time_ns() // 1000


def random_id() -> str:
    """128 random bits as 32 hex digits."""
    return secrets.token_hex(16)
