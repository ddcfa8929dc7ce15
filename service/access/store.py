"""The table of keys. A key's secret is never stored, only its hash; rows stay after revocation, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Row, String, Table, insert, or_, select, update

from models.journey.event import Micros
from service.database import holds_nothing, metadata

keys = Table(
    "keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("scopes", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    **holds_nothing("keys belong to tools and colleagues"),
)


def add(connection: Connection, key_id: str, name: str, hashed: str, scopes: Sequence[str], now: Micros) -> None:
    row = {"key_id": key_id, "name": name, "hash": hashed, "scopes": " ".join(scopes), "created_at": now}
    connection.execute(insert(keys), row)


def find(connection: Connection, key_id: str) -> Row[Any] | None:
    return connection.execute(select(keys).where(keys.c.key_id == key_id)).first()


def all_keys(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(keys).order_by(keys.c.created_at, keys.c.key_id)).all()


def revoke(connection: Connection, key_id: str, now: Micros) -> bool:
    """False where no such key is in force."""
    in_force = (keys.c.key_id == key_id, or_(keys.c.revoked_at.is_(None), keys.c.revoked_at > now))
    return connection.execute(update(keys).where(*in_force).values(revoked_at=now)).rowcount > 0


def used(connection: Connection, key_id: str, now: Micros) -> None:
    connection.execute(update(keys).where(keys.c.key_id == key_id).values(last_used_at=now))
