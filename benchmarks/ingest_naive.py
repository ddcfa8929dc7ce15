"""What `benchmarks.ingest` stands us beside: a bare loop of inserts, and the same service written naively.

The naive one is FastAPI with pydantic models and SQLAlchemy's ORM, as tutorials write it, over the same table with the
same key and the same durability, and with SQLite's other settings left as they are. It looks up a batch's known ids in
one query; it corrects no clock, refuses no single event, limits no body, and knows no gzip. Measures nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time_ns
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import JSON, BigInteger, Integer, String, UniqueConstraint, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from service.database import Database

Row = tuple[Any, ...]


class BareLoop:
    """Rows that are ready into the table of the log, one transaction a batch, by the driver."""

    def __init__(self, folder: Path) -> None:
        database = Database.open(folder, "log")
        self._connection = database.engine.raw_connection()
        self._driver: Any = self._connection.driver_connection

    def insert(self, batches: Sequence[Sequence[Row]]) -> None:
        columns = ("stream, message_id, kind, name, user_id, anonymous_id, previous_id, occurred_at, received_at, "
                   "properties, context")  # fmt: skip
        statement = f"INSERT INTO log ({columns}) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING"  # noqa: S608
        for batch in batches:
            self._driver.execute("BEGIN IMMEDIATE")
            self._driver.executemany(statement, batch)
            self._driver.execute("COMMIT")


class Base(DeclarativeBase):
    """The naive service's tables."""


class LogRow(Base):
    """One event."""

    __tablename__ = "log"
    __table_args__ = (UniqueConstraint("stream", "message_id"),)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    stream: Mapped[str] = mapped_column(String)
    message_id: Mapped[str] = mapped_column(String)
    kind: Mapped[str] = mapped_column(String)
    name: Mapped[str] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(String)
    anonymous_id: Mapped[str | None] = mapped_column(String)
    previous_id: Mapped[str | None] = mapped_column(String)
    occurred_at: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[int] = mapped_column(BigInteger)
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)
    context: Mapped[dict[str, Any]] = mapped_column(JSON)


class EventIn(BaseModel):
    """One call."""

    type: str
    messageId: str  # noqa: N815 - as the protocol spells it
    event: str = ""
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    previousId: str | None = None  # noqa: N815
    timestamp: datetime
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class BatchIn(BaseModel):
    """Several calls."""

    batch: list[EventIn]


def opened(request: Request) -> Iterator[Session]:
    """FastAPI dependency: a session of the ORM."""
    with Session(request.app.state.engine) as session:
        yield session


def naive_app() -> FastAPI:
    """For `uvicorn --factory`; NAIVE_DATABASE names its file."""
    engine = create_engine(f"sqlite:///{os.environ['NAIVE_DATABASE']}", connect_args={"timeout": 5})
    event.listen(engine, "connect", _prepare)
    Base.metadata.create_all(engine)
    app = FastAPI()
    app.state.engine = engine

    @app.post("/v1/batch")
    def batch(given: BatchIn, session: Annotated[Session, Depends(opened)]) -> dict[str, Any]:
        ids = [one.messageId for one in given.batch]
        known = set(session.scalars(select(LogRow.message_id).where(LogRow.message_id.in_(ids))))
        new = {one.messageId: _row(one) for one in given.batch if one.messageId not in known}
        session.add_all(new.values())
        session.commit()
        return {"success": True, "accepted": len(new)}

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def _row(given: EventIn) -> LogRow:
    moment = given.timestamp if given.timestamp.tzinfo else given.timestamp.replace(tzinfo=UTC)
    return LogRow(
        stream="event", message_id=given.messageId, kind=given.type, name=given.event, user_id=given.userId,
        anonymous_id=given.anonymousId, previous_id=given.previousId, properties=given.properties,
        context=given.context, occurred_at=int(moment.timestamp() * 1e6), received_at=time_ns() // 1000,
    )  # fmt: skip


def _prepare(connection: Any, _: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL").close()
