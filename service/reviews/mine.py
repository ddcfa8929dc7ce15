"""What somebody decided, and what happened then; and answering again, where a verdict was wrong.

Of a case that others have yet to read nothing is told but one's own answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection, Row

from models.journey.event import Micros, format_time
from models.review import ReviewError
from service.access import sessions
from service.errors import Forbidden, NotFound, Unauthorized
from service.insights.store import current_about
from service.reviews import store
from service.reviews.desks import PolicyOf, open_desk
from service.reviews.journey import Moment, Step, span, timeline
from service.reviews.logic import Desk
from service.reviews.pages import FormOf, PersonOf, answer_of, see, to_sign_in
from service.reviews.view import excerpt
from service.web.pages import page

router = APIRouter(prefix="/reviews", include_in_schema=False)

ON_A_PAGE = 20
LONGEST = 280
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Decided:
    """One answer of somebody's, and what came of it.

    `outcome` is the answer that stands now, None while others have yet to read; `model` what the model had said, None
    where it said nothing or may not be told yet. `then` is what the customer did after the words.
    """

    subject: str
    customer_id: str
    excerpt: str
    answer: str
    at: str
    ago: str
    shown: bool
    model: str | None
    outcome: str | None
    by_me: bool
    then: tuple[Moment, ...]
    more: int


@router.get("/mine")
def mine(
    request: Request, person: PersonOf, policy: PolicyOf, before: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """One's own answers, the newest first."""
    if person is None:
        return to_sign_in(request)
    with open_desk(request, person.name, policy, writes=False) as desk:
        rows = store.given_by(desk.connection, person.name, before, ON_A_PAGE + 1)
        shown = [_decided(desk, row) for row in rows[:ON_A_PAGE]]
    older = rows[ON_A_PAGE - 1].decided_at if len(rows) > ON_A_PAGE else None
    context = {"lines": shown, "older": older, "first": before is None, "person": person, "policy": policy}
    return page(_HERE, "mine.html", {**context, "here": "mine"})


@router.get("/again")
def again(
    request: Request, person: PersonOf, policy: PolicyOf, words: Annotated[str, Query(max_length=300)]
) -> Response:
    """Words that somebody answered, to be answered again. Raises NotFound where no answer stands."""
    if person is None:
        return to_sign_in(request)
    with open_desk(request, person.name, policy, writes=False) as desk:
        return _again_page(desk, words, {"person": person, "policy": policy})


@router.post("/again")
def answer_again(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    """The new answer takes the place of the one that stood, everywhere at once."""
    try:
        known = sessions.check_form(person, form.one("csrf"))
    except (Unauthorized, Forbidden):
        return to_sign_in(request)
    words = form.one("words")
    try:
        with open_desk(request, known.name, policy) as desk:
            given = desk.answer_again(words, answer_of(form), form.one("verdict_id")[:64] or desk.ids())
            current = current_about(desk.connection, [words])[words]
    except ReviewError as error:
        with open_desk(request, known.name, policy, writes=False) as desk:
            context = {"person": known, "policy": policy}
            return _again_page(desk, words, context, error.sentence, 422 if error.code == "invalid_verdict" else 409)
    mine_now = given.reviewer == known.name and form.one("back") == "mine"
    return see("/reviews/mine" if mine_now else f"/reviews/customer?{urlencode({'id': current.customer_id})}")


def _again_page(desk: Desk, words: str, context: dict[str, Any], trouble: str = "", status: int = 200) -> Response:
    standing, said = store.standing_about(desk.connection, words), store.words_of(desk.connection, words)
    if standing is None or said is None:
        raise NotFound("No answer stands for these words.", "Look at the queue.", code="not_decided", field="words",
                       value=words)  # fmt: skip
    mine_first = standing.reviewer == desk.reviewer
    more = {
        "words": words, "said": said, "ago": span(desk.at - said.said_at), "standing": standing,
        "decided": span(desk.at - standing.decided_at), "verdict_id": desk.ids(), "trouble": trouble,
        "may": mine_first or desk.policy.may_adjudicate(desk.reviewer), "back": "mine" if mine_first else "customer",
    }  # fmt: skip
    return page(_HERE, "again.html", {**context, **more, "here": "mine"}, status)


def _decided(desk: Desk, row: Row[Any]) -> Decided:
    said = store.words_of(desk.connection, row.subject)
    standing = store.standing_about(desk.connection, row.subject)
    told = standing is not None
    moments, more = _then(desk.connection, said.customer_id, said.said_at) if said and told else ((), 0)
    return Decided(
        subject=row.subject,
        customer_id=said.customer_id if said else "",
        excerpt=excerpt(said.text if said else "", LONGEST),
        answer=row.answer,
        at=format_time(row.decided_at),
        ago=span(desk.at - row.decided_at),
        shown=row.model_answer_shown,
        model=row.model_answer if told else None,
        outcome=standing.answer if standing else None,
        by_me=standing is not None and standing.reviewer == desk.reviewer,
        then=moments,
        more=more,
    )


def _then(connection: Connection, customer_id: str, said_at: Micros) -> tuple[tuple[Moment, ...], int]:
    """What the customer did after the words, the first of it, and how much more there is."""
    rows = store.steps_after(connection, customer_id, said_at)
    steps = [Step(f"{row.channel}.{row.action}", row.stage, row.occurred_at, row.contact) for row in rows]
    found = timeline(steps, said_at)
    return tuple(moment for moment in found.moments if not moment.now), found.later
