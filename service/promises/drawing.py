"""Which feelings are drawn at random to be read blind, and what people said of them, as rows.

Before a promise can be made the policy's first texts are drawn, later a share of all that could be released; each with
the chance it had, by a keyed hash of its id (models/lottery.py). A drawn answer that is `auto` is an audit and stays
released meanwhile. Knows no verdict: who settles one tells what the person said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    Row,
    String,
    Table,
    and_,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.insight import Conclusion, Decision, ModelVersion
from models.journey.event import Micros
from models.lottery import lot, releasable
from models.policy import Policy
from service.database import holds, metadata
from service.promises import store

draws = Table(
    "draws",
    metadata,
    Column("subject", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("policy_digest", String, nullable=False),
    Column("group_name", String, nullable=False),
    Column("released", Boolean, nullable=False),
    Column("answer", String, nullable=False),
    Column("score", Float, nullable=False),
    Column("chance", Float, nullable=False),
    Column("first", Boolean, nullable=False),
    Column("drawn_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger),
    Column("wrong", Boolean),
    Index("draws_audited", "digest", "group_name", "answered_at", sqlite_where=text("released AND wrong IS NOT NULL")),
    Index("draws_first", "digest", "group_name", sqlite_where=text("first")),
    Index("draws_customer", "customer_id"),
    **holds("rows about the customer's feedback", "rows about the customer's feedback are deleted"),
)
"""One row for each drawn text, as it was concluded last before a person answered. `first`: drawn to earn a promise.

`wrong` is null until people answered, and where they could not tell.
"""


@dataclass(frozen=True, slots=True)
class Draw:
    """By what a bundle's feelings are drawn; read once for a batch."""

    secret: str
    policy: Policy
    model: ModelVersion

    @classmethod
    def now(cls, connection: Connection, policy: Policy, model: ModelVersion) -> Draw:
        return cls(store.secret(connection), policy, model)

    def sampled(
        self, connection: Connection, customer_id: str, subject: str, one: Conclusion, at: Micros
    ) -> Conclusion:
        """The conclusion with its chance of being read, and whether it was drawn; what is drawn is written down."""
        if one.drawn:  # under this version already, and opened again since
            return one
        forget(connection, subject)
        if one.decision is Decision.ABSTAIN:
            return replace(one, chance_of_review=0.0)
        digest, promise = self.model.digest, one.promise
        if digest is None or promise is None or not releasable(one):
            return one
        first = not promise.standing and self._wants_first(connection, digest, promise.group)
        chance = self.policy.day_one_share if first else self.policy.audit_share
        read = chance if one.decision is Decision.AUTO else 1.0
        if lot(self.secret, subject) >= chance:
            return replace(one, chance_of_review=read)
        row = {
            "subject": subject, "customer_id": customer_id, "version": self.model.version, "digest": digest,
            "policy_digest": self.policy.release.digest, "group_name": promise.group,
            "released": one.decision is Decision.AUTO, "answer": str(one.answer),
            "score": float(one.details.get("confidence", 0.0)), "chance": chance, "first": first, "drawn_at": at,
        }  # fmt: skip
        connection.execute(insert(draws).values(row).on_conflict_do_nothing())
        return replace(one, chance_of_review=read, drawn=True)

    def _wants_first(self, connection: Connection, digest: str, group: str) -> bool:
        """Whether more texts are to be drawn to earn a promise."""
        return count_first(connection, digest, group).drawn < self.policy.day_one_texts


@dataclass(frozen=True, slots=True)
class First:
    """How far a group is with its first texts: drawn, answered, and wrong among those."""

    drawn: int
    answered: int
    wrong: int


def count_first(connection: Connection, digest: str, group: str) -> First:
    """Of the texts drawn to earn a promise since this bundle went live, or since its promise was withdrawn."""
    mine = (text("first"), draws.c.digest == digest, draws.c.group_name == group)
    counted = select(
        func.count(), func.count(draws.c.wrong), func.coalesce(func.sum(draws.c.wrong), 0)
    ).where(*mine)  # fmt: skip
    return First(*map(int, connection.execute(counted).one()))


def forget(connection: Connection, subject: str) -> None:
    """This text was concluded anew, or counts no more; what people answered stays."""
    mine = and_(draws.c.subject == subject, draws.c.answered_at.is_(None))
    connection.execute(delete(draws).where(mine))


def drawn(connection: Connection, subject: str) -> Row[Any] | None:
    """The draw of this text, if it was drawn."""
    return connection.execute(select(draws).where(draws.c.subject == subject)).first()


def answer(connection: Connection, subject: str, *, wrong: bool | None, at: Micros | None) -> Row[Any] | None:
    """People answered: whether the model was wrong, None where they could not tell; taken back where `at` is None.

    Returns the draw as it is now; None where this text was not drawn.
    """
    mine = draws.c.subject == subject
    connection.execute(update(draws).where(mine).values(answered_at=at, wrong=wrong))
    return drawn(connection, subject)


def audits(
    connection: Connection, digest: str, group: str, released_from: Micros = 0, after: tuple[Micros, str] = (-1, "")
) -> Sequence[Row[Any]]:
    """Audited answers of a promise in the order in which people answered them, after one of them."""
    d = draws.c
    mine = (text("released AND wrong IS NOT NULL"), d.digest == digest, d.group_name == group,
            d.drawn_at > released_from)  # fmt: skip
    later = (d.answered_at > after[0]) | ((d.answered_at == after[0]) & (d.subject > after[1]))
    return connection.execute(select(draws).where(*mine, later).order_by(d.answered_at, d.subject)).all()


def labels(connection: Connection, digest: str) -> Sequence[Row[Any]]:
    """Every drawn text of a bundle that people answered, released or not: a fair sample of what could be released."""
    mine = (draws.c.digest == digest, draws.c.wrong.is_not(None))
    return connection.execute(select(draws).where(*mine).order_by(draws.c.answered_at, draws.c.subject)).all()


def count_open(connection: Connection) -> int:
    """How many drawn texts wait for people."""
    return connection.execute(
        select(func.count()).select_from(draws).where(draws.c.answered_at.is_(None))
    ).scalar_one()  # fmt: skip
