"""A lease: one process at a time does a thing, until it gives the lease back or falls silent.

One row a lease in service.db. A lease only spares double work: whoever writes does so in transactions that would be
right without it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from models.journey.event import Micros
from service.database import Database, holds_nothing, metadata

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
    **holds_nothing("which process works"),
)


def take(database: Database, name: str, holder: str, now: Micros, until: Micros) -> bool:
    """Take or renew the lease; False while another holds it."""
    new = insert(leases).values(name=name, holder=holder, until=until)
    # A lease that ends further ahead than two such leases was taken by a clock that has been set back since.
    mine_or_over = (leases.c.holder == holder) | (leases.c.until <= now) | (leases.c.until > until + (until - now))
    taken = new.on_conflict_do_update(
        index_elements=["name"], set_={"holder": holder, "until": until}, where=mine_or_over
    )
    with database.write() as connection:
        return connection.execute(taken).rowcount > 0


def until(connection: Connection, name: str) -> Micros | None:
    """When the lease ends or ended; None where nobody has it."""
    return connection.execute(select(leases.c.until).where(leases.c.name == name)).scalar()


def give_back(database: Database, name: str, holder: str) -> None:
    """End the lease, if it is still the holder's."""
    with database.write() as connection:
        connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
