"""A reviewer's desk, set up for one request: a transaction, the moment, the rules, and how insights are renewed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection

from models.review import ReviewPolicy
from service.access import team
from service.insights import promised
from service.insights.conclude import moment, refresh
from service.live.bundles import bundles_of
from service.reviews.logic import Desk
from service.reviews.queue import EVERY, Filter
from service.state import state_of


def review_policy(request: Request) -> ReviewPolicy:
    """FastAPI dependency: how people review, by the settings and the team's roles. Replaced in tests, by
    `app.dependency_overrides`."""
    state = state_of(request)
    settings = state.settings
    with state.service.read() as connection:
        adjudicators = team.adjudicators(connection)
    return ReviewPolicy(
        lease_seconds=settings.case_lease_seconds,
        hidden_share=settings.hidden_share,
        twice_share=settings.read_twice_share,
        adjudicators=adjudicators,
    )


PolicyOf = Annotated[ReviewPolicy, Depends(review_policy)]


@contextmanager
def open_desk(
    request: Request, reviewer: str, policy: ReviewPolicy, *, which: Filter = EVERY, writes: bool = True
) -> Iterator[Desk]:
    """A desk inside one transaction; with `writes` it holds the write lock from its start."""
    state = state_of(request)
    live = bundles_of(request).now()

    def renew(connection: Connection, customer_id: str) -> None:
        refresh(connection, customer_id, state=state, live=live, at=moment(connection, state))

    settings = state.settings
    settle = partial(promised.settle, policy=settings.promises)
    with state.service.write() if writes else state.service.read() as connection:
        yield Desk(
            connection, reviewer, state.clock(), policy, state.ids, renew, which, settings.policy.digest, settle
        )  # fmt: skip
