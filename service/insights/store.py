"""What was concluded: every conclusion about a feeling, the superseded ones too, and each customer's newest insight.

At most one conclusion about a feedback is current. Knows tables and JSON, no model and no HTTP. A case is a current
conclusion decided `review` by the model; there is no table of cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.insight import Conclusion, Insight, ModelVersion
from models.journey.event import Micros
from service.database import Database, holds, metadata, one_of
from service.events.folded import customers
from service.insights.told import tell_superseded
from service.insights.waiting import beside, is_read

conclusions = Table(
    "conclusions",
    metadata,
    Column("conclusion_id", String, primary_key=True),
    Column("customer_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("digest", String),
    Column("concluded_at", BigInteger, nullable=False),
    Column("decision", String, nullable=False),
    Column("decided_by", String, nullable=False),
    Column("stored", Text, nullable=False),
    Column("superseded_at", BigInteger),
    Column("place", BigInteger),
    Column("waiting_since", BigInteger),
    Column("channel", String),
    Column("language", String),
    Column("flags", String),
    Column("urgent", Boolean),
    Column("lot", Float),
    Column("words_key", String),
    Column("policy_digest", String),
    **holds("all rows of the customer", "all rows of the customer are deleted", json_columns=("stored",)),
)
"""`subject` is the feedback's id; `stored` is Conclusion.stored() as JSON; `superseded_at` is null while current.

`policy_digest` names the policy by which it was decided. The rest is null but where a person is to look: see
waiting.py. An index holds what may still wait.
"""

_CURRENT = "superseded_at IS NULL"
Index("conclusions_current", conclusions.c.subject, unique=True, sqlite_where=text(_CURRENT))
SUBJECTS_PER_QUERY = 10_000
_WAITING = "superseded_at IS NULL AND decision = 'review' AND decided_by = 'model'"
Index("conclusions_waiting", conclusions.c.waiting_since, conclusions.c.conclusion_id, sqlite_where=text(_WAITING))
_SETTLED = "superseded_at IS NULL AND (decision != 'review' OR decided_by != 'model')"
Index("conclusions_released", conclusions.c.digest, conclusions.c.concluded_at, conclusions.c.conclusion_id,
      sqlite_where=text("decision = 'auto'"))  # fmt: skip
Index("conclusions_settled", conclusions.c.decision, conclusions.c.decided_by, sqlite_where=text(_SETTLED))

insights = Table(
    "insights",
    metadata,
    Column("customer_id", String, primary_key=True),
    Column("as_of", BigInteger, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("provisional_body", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False, index=True),
    Column("digest", String),
    **holds(exported="the customer's row", erased="the customer's row is deleted"),
)
"""`body` and `provisional_body` are the answer's bytes, ready to be sent."""
_new = insert(insights)
_PUT = _new.on_conflict_do_update(
    index_elements=["customer_id"], set_={one.name: one for one in _new.excluded if one.name != "customer_id"}
)
_CONCLUDED = update(customers).where(customers.c.customer_id == bindparam("who"))
_CONCLUDED = _CONCLUDED.values(concluded_revision=bindparam("at"))


def get_conclusion(connection: Connection, conclusion_id: str) -> Row[Any] | None:
    """The row, current or superseded."""
    return connection.execute(select(conclusions).where(conclusions.c.conclusion_id == conclusion_id)).first()


def current_waiting(connection: Connection, limit: int, offset: int = 0) -> Sequence[Row[Any]]:
    """Conclusions that wait for a person, oldest first."""
    waiting = select(conclusions).where(text(_WAITING))
    ordered = waiting.order_by(conclusions.c.waiting_since, conclusions.c.conclusion_id)
    return connection.execute(ordered.limit(limit).offset(offset)).all()


def count_waiting(connection: Connection) -> int:
    """How many conclusions wait for a person."""
    return connection.execute(select(func.count()).select_from(conclusions).where(text(_WAITING))).scalar_one()


def count_read(connection: Connection, most: int = 20_000) -> int:
    """How many conclusions a person is to look at, released ones that were drawn too; counted up to so many."""
    some = select(conclusions.c.place).where(text("superseded_at IS NULL AND place IS NOT NULL")).limit(most)
    return connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()


def oldest_waiting(connection: Connection) -> Micros | None:
    """When the words that wait longest began to."""
    return connection.execute(select(func.min(conclusions.c.waiting_since)).where(text(_WAITING))).scalar()


def count_settled(connection: Connection) -> dict[tuple[str, str], int]:
    """How many current conclusions wait for nobody, by decision and by who decided."""
    by = (conclusions.c.decision, conclusions.c.decided_by)
    counted = select(*by, func.count()).where(text(_SETTLED)).group_by(*by)
    return {(decision, decided_by): count for decision, decided_by, count in connection.execute(counted)}


def current_about(connection: Connection, subjects: Sequence[str]) -> dict[str, Row[Any]]:
    """The current conclusion about each of these feedbacks, by feedback id."""
    about = one_of(conclusions.c.subject, subjects)
    rows = connection.execute(select(conclusions).where(about, conclusions.c.superseded_at.is_(None)))
    return {row.subject: row for row in rows}


def concluded_at(connection: Connection, subject: str, as_of: Micros) -> Conclusion | None:
    """What stood about one feedback at `as_of`; where the worker came to it only later, its first conclusion.

    The first is always the model's, made from the words alone, so nothing of a later verdict is told.
    """
    about = select(conclusions).where(conclusions.c.subject == subject).order_by(conclusions.c.concluded_at)
    rows = connection.execute(about.order_by(conclusions.c.superseded_at.nulls_last())).all()
    stood = [r for r in rows if r.concluded_at <= as_of and (r.superseded_at is None or r.superseded_at > as_of)]
    first = next((row for row in rows if row.decided_by == "model"), None)
    row = stood[-1] if stood else first
    return restored(row) if row is not None else None


def restored(row: Row[Any]) -> Conclusion:
    """The conclusion that a row holds."""
    return Conclusion.restore(msgspec.json.decode(row.stored))


def add(
    connection: Connection, new_id: str, customer_id: str, subject: str, conclusion: Conclusion, model: ModelVersion,
    at: Micros, policy_digest: str | None = None,
) -> str:  # fmt: skip
    """Write what the model concludes about a feedback, in place of what it concluded before."""
    _end_current(connection, subject, at)
    by = model.version, model.digest, policy_digest
    return _insert(connection, new_id, customer_id, subject, conclusion, by, at)


def supersede(connection: Connection, conclusion_id: str, conclusion: Conclusion, at: Micros, *, new_id: str) -> str:
    """Put `conclusion` in place of the current one about the same feedback; returns the new row's id.

    `conclusion_id` may itself be superseded by now (another bundle went live meanwhile): what a person answers is the
    feedback, so it is its current conclusion that ends, and nothing a person did is lost. Call `answer.refresh` in the
    same transaction. Raises KeyError when there is no such conclusion.
    """
    row = get_conclusion(connection, conclusion_id)
    if row is None:
        raise KeyError(conclusion_id)
    current = current_about(connection, [row.subject]).get(row.subject, row)
    _end_current(connection, row.subject, at)
    tell_superseded(connection, current.customer_id, row.subject, restored(current), conclusion, at)
    by = current.version, current.digest, current.policy_digest
    return _insert(connection, new_id, current.customer_id, row.subject, conclusion, by, at)


def move(connection: Connection, subject: str, customer_id: str) -> None:
    """The feedback belongs to another customer now: a device was joined."""
    connection.execute(update(conclusions).where(conclusions.c.subject == subject).values(customer_id=customer_id))


def retire(connection: Connection, subject: str, at: Micros) -> None:
    """These words count no more: they were edited, or are a repeat. What was concluded of them is no longer current."""
    _end_current(connection, subject, at)


def end_about(connection: Connection, subjects: Sequence[str], at: Micros) -> None:
    """These words changed or went: what the model concludes of them ends. What a person answered stays."""
    for first in range(0, len(subjects), SUBJECTS_PER_QUERY):
        some = conclusions.c.subject.in_(subjects[first : first + SUBJECTS_PER_QUERY])
        current = and_(some, conclusions.c.superseded_at.is_(None), conclusions.c.decided_by == "model")
        ended = connection.execute(update(conclusions).where(current).values(superseded_at=at).returning(conclusions))
        for row in ended.all():
            tell_superseded(connection, row.customer_id, row.subject, restored(row), None, at)


def is_withdrawn(row: Row[Any]) -> bool:
    """Whether it says only that the customer objected to being profiled."""
    return row.decision == "abstain" and restored(row).is_withdrawn


def answered_before(connection: Connection, withdrawn: Sequence[Row[Any]]) -> dict[str, Conclusion]:
    """What people had answered when these conclusions were withdrawn because the customer objected, by feedback."""
    found = {}
    for row in withdrawn:
        ended = (conclusions.c.subject == row.subject, conclusions.c.superseded_at == row.concluded_at)
        before = select(conclusions).where(*ended, conclusions.c.conclusion_id != row.conclusion_id)
        last = connection.execute(before.order_by(conclusions.c.concluded_at.desc())).first()
        if last is not None and last.decided_by == "person":
            found[row.subject] = restored(last)
    return found


def _end_current(connection: Connection, subject: str, at: Micros) -> None:
    current = and_(conclusions.c.subject == subject, conclusions.c.superseded_at.is_(None))
    connection.execute(update(conclusions).where(current).values(superseded_at=at))


def _insert(
    connection: Connection, new_id: str, customer_id: str, subject: str, conclusion: Conclusion,
    by: tuple[int, str | None, str | None], at: Micros,
) -> str:  # fmt: skip
    since = _waiting_since(connection, subject, at) if is_read(conclusion) else at
    version, digest, policy_digest = by
    row = {
        "conclusion_id": new_id, "customer_id": customer_id, "kind": conclusion.kind, "subject": subject,
        "version": version, "digest": digest, "concluded_at": at, "decision": conclusion.decision.value,
        "decided_by": conclusion.decided_by, "policy_digest": policy_digest,
        "stored": msgspec.json.encode(conclusion.stored()).decode(),
        **beside(connection, customer_id, subject, conclusion, since),
    }  # fmt: skip
    connection.execute(insert(conclusions), row)
    return new_id


def _waiting_since(connection: Connection, subject: str, at: Micros) -> Micros:
    """When these words first waited: a newer bundle does not make them wait from the beginning."""
    first = select(func.min(conclusions.c.waiting_since)).where(conclusions.c.subject == subject)
    return min(at, connection.execute(first).scalar() or at)


def get_insight(connection: Connection, customer_id: str) -> Row[Any] | None:
    return connection.execute(select(insights).where(insights.c.customer_id == customer_id)).first()


def public_bodies(connection: Connection, customer_ids: Sequence[str]) -> dict[str, bytes]:
    """The newest insights of these customers as a key without `provisional` gets them, in the order of their ids."""
    columns = (insights.c.customer_id, insights.c.body)
    wanted = select(*columns).where(insights.c.customer_id.in_(customer_ids)).order_by(insights.c.customer_id)
    return {row.customer_id: row.body for row in connection.execute(wanted)}


def bodies_after(connection: Connection, customer_id: str, limit: int) -> dict[str, bytes]:
    """As `public_bodies`, of the next customers after one in the order of their ids."""
    columns = (insights.c.customer_id, insights.c.body)
    wanted = select(*columns).where(insights.c.customer_id > customer_id).order_by(insights.c.customer_id).limit(limit)
    return {row.customer_id: row.body for row in connection.execute(wanted)}


def newest_body(connection: Connection) -> bytes | None:
    """A public insight by the newest version of the model that has answered yet."""
    return connection.execute(select(insights.c.body).order_by(insights.c.version.desc()).limit(1)).scalar()


def put_insights(connection: Connection, found: Sequence[tuple[Insight, bytes, bytes]]) -> None:
    """Write customers' newest insights over the ones before: each with its bytes, public and provisional."""
    rows = [{"customer_id": one.customer_id, "as_of": one.as_of, "body": body, "provisional_body": provisional,
             "version": one.model.version, "digest": one.model.digest} for one, body, provisional in found]  # fmt: skip
    connection.execute(_PUT, rows)


def remove_customer(connection: Connection, customer_id: str) -> None:
    """This id stands for nobody any more: it was joined to another customer."""
    connection.execute(delete(insights).where(insights.c.customer_id == customer_id))
    connection.execute(delete(customers).where(customers.c.customer_id == customer_id))


def forget_insights(connection: Connection) -> None:
    """Delete what can be concluded again."""
    connection.execute(delete(insights))


def pending(connection: Connection, limit: int) -> list[str]:
    """Customers of whom something became known since they were last concluded, longest waiting first."""
    waiting = select(customers.c.customer_id).where(customers.c.revision > customers.c.concluded_revision)
    return list(connection.execute(waiting.order_by(customers.c.changed_at).limit(limit)).scalars())


def count_pending(connection: Connection) -> int:
    """How many customers `pending` would list."""
    waiting = select(func.count()).select_from(customers)
    return connection.execute(waiting.where(customers.c.revision > customers.c.concluded_revision)).scalar_one()


def outdated(connection: Connection, version: int, older_than: Micros, limit: int) -> list[str]:
    """Customers whose insight is of another version, or from before `older_than`."""
    # One search each: SQLite would answer "version != ?" by reading every row.
    for which in (insights.c.version < version, insights.c.version > version, insights.c.as_of < older_than):
        found = connection.execute(select(insights.c.customer_id).where(which).limit(limit)).scalars().all()
        if found:
            return list(found)
    return []


def revisions(connection: Connection, customer_ids: Sequence[str]) -> dict[str, int]:
    """What is known of each customer, as a count that grows."""
    wanted = select(customers.c.customer_id, customers.c.revision).where(customers.c.customer_id.in_(customer_ids))
    return {row.customer_id: row.revision for row in connection.execute(wanted)}


def touch(connection: Connection, customer_id: str) -> int:
    """Something of the customer changed; returns the new revision."""
    mine = customers.c.customer_id == customer_id
    connection.execute(update(customers).where(mine).values(revision=customers.c.revision + 1))
    return revisions(connection, [customer_id]).get(customer_id, 0)


def touch_all(connection: Connection) -> None:
    """Answers are decided otherwise from now on: every customer is concluded again."""
    connection.execute(update(customers).values(revision=customers.c.revision + 1))


def concluded(connection: Connection, revisions: Mapping[str, int]) -> None:
    """The insights of these customers now say all that was known at these revisions."""
    connection.execute(_CONCLUDED, [{"who": customer, "at": revision} for customer, revision in revisions.items()])


def conclusion_rows(database: Database, as_of: Micros, batch: int = 5_000) -> Iterator[Mapping[str, Any]]:
    """Every conclusion made at or before `as_of`, for export; what superseded it later is not told."""
    last = (-1, "")
    key = (conclusions.c.concluded_at, conclusions.c.conclusion_id)
    while True:
        later = (key[0] > last[0]) | ((key[0] == last[0]) & (key[1] > last[1]))
        wanted = select(conclusions).where(key[0] <= as_of, later).order_by(*key).limit(batch)
        with database.read() as connection:
            rows = connection.execute(wanted).all()
        if not rows:
            return
        for row in rows:
            ended = row.superseded_at if row.superseded_at is not None and row.superseded_at <= as_of else None
            told = {name: msgspec.json.decode(row.stored).get(name) for name in ("chance_of_review", "drawn")}
            yield {**row._mapping, **told, "superseded_at": ended}
        last = (rows[-1].concluded_at, rows[-1].conclusion_id)


def concluded_of(connection: Connection, customer_id: str, as_of: Micros | None) -> Sequence[Row[Any]]:
    """Every conclusion about what this customer said, oldest first; with `as_of`, those made by then."""
    mine = select(conclusions).where(conclusions.c.customer_id == customer_id)
    if as_of is not None:
        mine = mine.where(conclusions.c.concluded_at <= as_of)
    ended = conclusions.c.superseded_at.nulls_last()
    return connection.execute(mine.order_by(conclusions.c.concluded_at, ended, conclusions.c.conclusion_id)).all()
