"""Limits against guessing passwords: how many wrong tries a name and an address have within a quarter of an hour.

A try is counted before it is made, so that many at once gain nothing, and forgotten when it was right. Counts are rows
that all processes share. An address that guesses somebody's name shuts out nobody but itself.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, String, Table, delete, insert, select

from models.journey.event import SECOND, Micros
from service.database import holds_nothing, metadata
from service.errors import TooMany

WINDOW: Micros = 15 * 60 * SECOND
TRIES_OF_BOTH, TRIES_OF_ADDRESS, TRIES_OF_NAME = 5, 30, 50
"""Wrong tries within the window: of one name from one address, of one address, and of one name from anywhere."""

tries = Table(
    "tries",
    metadata,
    Column("try_id", String, primary_key=True),
    Column("known_as", String, nullable=False, index=True),
    Column("address", String, nullable=False, index=True),
    Column("at", BigInteger, nullable=False, index=True),
    **holds_nothing("hashes of names and addresses that tried to sign in as reviewers"),
)


def count_try(connection: Connection, try_id: str, known_as: str, address: str, now: Micros) -> None:
    """Note that somebody is about to try a password. Raises TooMany, which says for how long to wait."""
    connection.execute(delete(tries).where(tries.c.at <= now - WINDOW))
    name, place = _hashed(known_as), _hashed(address)
    of_name, of_place = tries.c.known_as == name, tries.c.address == place
    for most, *which in ((TRIES_OF_BOTH, of_name, of_place), (TRIES_OF_ADDRESS, of_place), (TRIES_OF_NAME, of_name)):
        if (until := _full_until(connection, most, *which)) is not None:
            raise TooMany("There were too many wrong tries.", "Wait, then try again.", code="too_many_tries",
                          retry_seconds=max(1, -(-(until - now) // SECOND)))  # fmt: skip
    connection.execute(insert(tries), {"try_id": try_id, "known_as": name, "address": place, "at": now})


def forget_tries(connection: Connection, try_id: str, known_as: str, address: str) -> None:
    """The password was right: this try and earlier ones of the name from this address no longer count."""
    mine = (tries.c.known_as == _hashed(known_as)) & (tries.c.address == _hashed(address))
    connection.execute(delete(tries).where((tries.c.try_id == try_id) | mine))


def _full_until(connection: Connection, most: int, *which: ColumnElement[bool]) -> Micros | None:
    """When the next try is allowed; None where it is now."""
    latest = select(tries.c.at).where(*which).order_by(tries.c.at.desc()).limit(1).offset(most - 1)
    found = connection.execute(latest).scalar_one_or_none()
    return None if found is None else found + WINDOW


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
