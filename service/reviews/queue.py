"""The queue: which case comes next, which wait, and how many, each asked of one index and by the same conditions.

Knows tables and SQL. The order is a column (models/queue.py says of what), who may have a case is decided again by
models/review.py when it is claimed, and nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Index,
    Row,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
)

from models.journey.event import Micros
from models.review import ReviewPolicy
from service.events.folded import feedback
from service.insights.store import conclusions
from service.insights.waiting import listed
from service.reviews.store import URGENT, WAITING, claims, running, verdicts

MOST_ALIKE = 200
"""Most cases that are answered together with one."""
FILTERS = ("kind", "flag", "channel", "language", "version")
_COVERED = ("place", "conclusion_id", "subject", "kind", "channel", "language", "version", "flags", "lot")
Index("conclusions_queue", *(conclusions.c[name] for name in _COVERED), sqlite_where=text(WAITING))
Index("conclusions_alike", conclusions.c.words_key, sqlite_where=text(WAITING))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases: all, or those of this kind, flag, channel, language and version of the model."""

    kind: str | None = None
    flag: str | None = None
    channel: str | None = None
    language: str | None = None
    version: int | None = None

    @property
    def given(self) -> dict[str, str | int]:
        """What is asked for, by name."""
        named = {name: getattr(self, name) for name in FILTERS}
        return {name: value for name, value in named.items() if value is not None}

    def conditions(self) -> list[ColumnElement[bool]]:
        found = [conclusions.c[name] == bindparam(name) for name in self.given if name != "flag"]
        return found + ([func.instr(conclusions.c.flags, bindparam("flag")) > 0] if self.flag is not None else [])

    @property
    def values(self) -> dict[str, str | int]:
        """What the conditions are about."""
        return self.given | ({} if self.flag is None else {"flag": listed([self.flag])})


EVERY = Filter()


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for a case, when, by which rules, and for which."""

    reviewer: str
    at: Micros
    policy: ReviewPolicy
    which: Filter = EVERY

    @property
    def values(self) -> dict[str, Any]:
        return {
            "reviewer": self.reviewer, "at": self.at, "twice_share": self.policy.twice_share,
            "adjudicates": self.policy.may_adjudicate(self.reviewer),
            "named": self.reviewer in self.policy.adjudicators, **self.which.values,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases wait with a place left, how many of those are urgent, or for an adjudicator; how many are held."""

    open: int
    urgent: int
    adjudicate: int
    claimed: int


def next_waiting(connection: Connection, asking: Asking, *, again: bool = False) -> Row[Any] | None:
    """The first case in the queue that this reviewer may have. Cases that they skipped only where `again` is true."""
    return connection.execute(_next(tuple(sorted(asking.which.given)), again), asking.values).first()


def waiting(connection: Connection, asking: Asking, limit: int, offset: int = 0) -> Sequence[Row[Any]]:
    """Conclusions that wait, with their words and whether all their places are held, in the order of the queue."""
    said = feedback.c.feedback_id == conclusions.c.subject
    held = (_held() >= _places()).label("claimed")
    wanted = select(conclusions, feedback.c.text, _adjudicated().label("adjudicate"), held).outerjoin(feedback, said)
    wanted = wanted.where(text(WAITING), *asking.which.conditions()).order_by(*_ORDER).limit(limit).offset(offset)
    return connection.execute(wanted, asking.values).all()


def count(connection: Connection, asking: Asking) -> Counts:
    """Of the cases that the filter names. What anybody did something about is little; the rest is one count each."""

    def of(wanted: Select[Any], *conditions: ColumnElement[bool]) -> int:
        named = wanted.where(*asking.which.conditions(), *conditions)
        return int(connection.execute(named, asking.values).scalar_one())

    every = select(func.count()).select_from(conclusions)
    waits, urgent = every.where(text(WAITING)), every.where(text(URGENT))
    full = and_(conclusions.c.subject.in_(select(claims.c.subject).where(running(asking.at))), _held() >= _places())
    escalated = conclusions.c.subject.in_(select(claims.c.subject).where(claims.c.ending == "escalated"))
    read = conclusions.c.subject.in_(select(verdicts.c.subject).where(_reading()))
    claimed = of(waits, full)
    return Counts(
        open=of(waits) - claimed,
        urgent=of(urgent) - (of(urgent, full) if claimed else 0),
        adjudicate=of(waits, or_(escalated, read), _adjudicated(), _held() == 0),
        claimed=claimed,
    )


def alike(connection: Connection, asking: Asking, row: Row[Any]) -> Sequence[Row[Any]]:
    """Other cases of the same words that this reviewer may answer with this one, in the order of the queue.

    None that two people read or that an adjudicator decides: each of those is read for itself.
    """
    same = (conclusions.c.words_key == row.words_key, conclusions.c.subject != row.subject)
    once = (conclusions.c.lot >= bindparam("twice_share"), ~_adjudicated(), _held() == 0, ~_passed("skipped"))
    wanted = select(conclusions).where(text(WAITING), *same, *once).order_by(*_ORDER).limit(MOST_ALIKE)
    return connection.execute(wanted, asking.values).all()


def held_by(connection: Connection, reviewer: str, at: Micros) -> Row[Any] | None:
    """The waiting conclusion that this reviewer holds."""
    mine = select(claims.c.subject).where(claims.c.reviewer == reviewer, running(at))
    wanted = select(conclusions).where(text(WAITING), conclusions.c.subject.in_(mine))
    return connection.execute(wanted.limit(1)).first()


def left_over(connection: Connection, asking: Asking) -> int:
    """How many cases this reviewer could have that they skipped."""
    mine = select(claims.c.subject).where(claims.c.reviewer == bindparam("reviewer"), claims.c.ending == "skipped")
    wanted = select(func.count()).select_from(conclusions).where(text(WAITING), conclusions.c.subject.in_(mine))
    return connection.execute(wanted.where(*asking.which.conditions(), *_mine()), asking.values).scalar_one()


def values_of(connection: Connection, name: str) -> list[str | int]:
    """What cases that wait can be filtered by, in this column."""
    column = conclusions.c[name]
    return list(
        connection.execute(
            select(column).distinct().where(text(WAITING), column.is_not(None)).order_by(column)
        ).scalars()
    )


_ORDER = (conclusions.c.place, conclusions.c.conclusion_id)


@cache
def _next(given: tuple[str, ...], again: bool) -> Select[Any]:
    """Built once for each set of filters: it reads the index of the queue alone, from its beginning."""
    which = Filter(**dict.fromkeys(given, ""))  # type: ignore[arg-type]  # the values are bound later
    wanted = select(conclusions).where(text(WAITING), *which.conditions())
    if not again:
        wanted = wanted.where(~_passed("skipped"))
    return wanted.where(*_mine()).order_by(*_ORDER).limit(1)


def _mine() -> tuple[ColumnElement[bool], ...]:
    """Whether this reviewer may have it, as models/review.py decides when it is claimed; what rules most out first."""
    more = and_(conclusions.c.lot < bindparam("twice_share"), _held() < _places())
    mine = (verdicts.c.subject == conclusions.c.subject, verdicts.c.reviewer == bindparam("reviewer"))
    settles = and_(bindparam("adjudicates"), or_(bindparam("named"), ~_passed("escalated")))
    return (or_(_held() == 0, more), ~exists().where(*mine, _reading()), or_(~_adjudicated(), settles))


def _held() -> ColumnElement[int]:
    """How many people hold it."""
    at: ColumnElement[int] = bindparam("at")
    about = select(func.count()).select_from(claims).where(claims.c.subject == conclusions.c.subject)
    return about.where(claims.c.ended_at.is_(None), claims.c.until > at).scalar_subquery()


def _read() -> ColumnElement[int]:
    """How many independent readings of it stand."""
    about = select(func.count()).select_from(verdicts).where(verdicts.c.subject == conclusions.c.subject)
    return about.where(_reading()).scalar_subquery()


def _readings() -> ColumnElement[int]:
    """How many people are to read it; the lot decides."""
    twice: ColumnElement[float] = bindparam("twice_share")
    return case((and_(conclusions.c.lot < twice, twice > 0), 2), else_=1)


def _adjudicated() -> ColumnElement[bool]:
    escalated = exists().where(claims.c.subject == conclusions.c.subject, claims.c.ending == "escalated")
    return or_(escalated, _read() >= _readings())


def _places() -> ColumnElement[int]:
    return case((_adjudicated(), 1), else_=_readings() - _read())


def _passed(ending: str) -> ColumnElement[bool]:
    """Whether this reviewer passed it on like this."""
    mine = (claims.c.subject == conclusions.c.subject, claims.c.reviewer == bindparam("reviewer"))
    return exists().where(*mine, claims.c.ending == literal_column(f"'{ending}'"))


def _reading() -> ColumnElement[bool]:
    return and_(verdicts.c.undone_at.is_(None), text("NOT final"))
