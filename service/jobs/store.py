"""The table of jobs: what was ordered, how far it is, who works on it. A job's state is told by its moments.

What is scored, ids of customers or journeys, is not here but in the job's folder, and goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    insert,
    or_,
    select,
    text,
    update,
)

from models.journey.event import Micros, format_time
from service.database import holds_nothing, metadata

State = Literal["waiting", "running", "finished", "failed", "cancelled"]

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String, nullable=False),
    Column("request", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String),
    Column("total", Integer),
    Column("done", Integer, nullable=False),
    Column("rows", Integer),
    Column("started_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("problem", Text),
    Column("removed_at", BigInteger),
    Column("holder", String),
    Column("held_until", BigInteger),
    Index("jobs_open", "made_at", sqlite_where=text("finished_at IS NULL")),
    **holds_nothing("moments and counts; whom a job is about is in its folder, which goes when one of them is erased"),
)
"""`version` and `digest` are of the bundle that was live when the job was made: it scores all of it."""


def add(connection: Connection, row: Mapping[str, Any]) -> None:
    connection.execute(insert(jobs), {"done": 0, **row})


def get(connection: Connection, job_id: str) -> Row[Any] | None:
    return connection.execute(select(jobs).where(jobs.c.job_id == job_id)).first()


def newest(connection: Connection, limit: int, before: tuple[Micros, str] | None) -> Sequence[Row[Any]]:
    """The newest jobs, or those made before one of them."""
    order = (jobs.c.made_at.desc(), jobs.c.job_id.desc())
    wanted = select(jobs).order_by(*order).limit(limit)
    if before is not None:
        at, id = before
        wanted = wanted.where(or_(jobs.c.made_at < at, and_(jobs.c.made_at == at, jobs.c.job_id < id)))
    return connection.execute(wanted).all()


def count_open(connection: Connection) -> int:
    """How many jobs wait or run."""
    return len(connection.execute(select(jobs.c.job_id).where(jobs.c.finished_at.is_(None))).all())


def take(connection: Connection, holder: str, now: Micros, until: Micros) -> Row[Any] | None:
    """Lease the oldest job that is not finished and that nobody else holds; None where there is none."""
    free = or_(jobs.c.holder.is_(None), jobs.c.holder == holder, jobs.c.held_until <= now)
    oldest = select(jobs.c.job_id).where(jobs.c.finished_at.is_(None), free).order_by(jobs.c.made_at).limit(1)
    job_id = connection.execute(oldest).scalar()
    if job_id is None:
        return None
    change(connection, job_id, holder=holder, held_until=until)
    row = get(connection, job_id)
    if row is not None and row.started_at is None:
        change(connection, job_id, started_at=now)
    return get(connection, job_id)


def change(connection: Connection, job_id: str, **values: Any) -> None:
    connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(values))


def with_old_results(connection: Connection, before: Micros, limit: int) -> list[str]:
    """Jobs that ended before a moment and whose folder is still there."""
    old = select(jobs.c.job_id).where(jobs.c.finished_at < before, jobs.c.removed_at.is_(None))
    return list(connection.execute(old.limit(limit)).scalars())


def state_of(row: Row[Any]) -> State:
    """Where a job stands."""
    if row.finished_at is not None:
        return "cancelled" if row.cancelled_at is not None else "failed" if row.problem else "finished"
    return "waiting" if row.started_at is None else "running"


def told(row: Row[Any]) -> dict[str, Any]:
    """The public shape."""

    def when(moment: Micros | None) -> str | None:
        return None if moment is None else format_time(moment)

    state, request = state_of(row), msgspec.json.decode(row.request)
    there = state == "finished" and row.removed_at is None
    return {
        "job_id": row.job_id, "kind": row.kind, "state": state, **request, "made_at": when(row.made_at),
        "made_by": row.made_by, "started_at": when(row.started_at), "finished_at": when(row.finished_at),
        "model": {"version": row.version, "digest": row.digest},
        "progress": {"done": row.done, "total": row.total}, "rows": row.rows, "problem": row.problem,
        "result": f"/v1/jobs/{row.job_id}/result" if there else None,
    }  # fmt: skip
