"""POST /v1/insights:query: many customers' insights. POST /v1/feedback:analyse: texts, of which nothing is stored."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.access.keys import Key, require
from service.body import documented, read_body
from service.errors import Forbidden, Invalid, NotFound, Problem, TooLarge, Unauthorized, Unavailable
from service.errors import documented as problems
from service.insights.asked import Id, JourneyIn, PredictionsIn, WordsIn, read
from service.insights.asking import asking_of
from service.insights.reading import StoredInsights, current, fields_in, only
from service.insights.shape import answer_of
from service.live.bundles import LiveBundles, bundles_of
from service.responses import as_json
from service.state import State, state_of

router = APIRouter(prefix="/v1", tags=["insights"])

MOST_CUSTOMERS, MOST_TEXTS = 1_000, 256
BODY_BYTES = 16_777_216
Services = Annotated[State, Depends(state_of)]
Bundles = Annotated[LiveBundles, Depends(bundles_of)]
Reader = Annotated[Key, Depends(require("read", "provisional"))]
_FAILS = problems(Unauthorized, Forbidden, TooLarge, Invalid, Unavailable)


class QueryIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose insights, by any of their ids; and which parts of them."""

    customer_ids: Annotated[list[Id], Meta(min_length=1, max_length=MOST_CUSTOMERS)]
    fields: Annotated[list[str] | None, Meta(description="Parts of the insight; missing: all.")] = None


class TextsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Texts in customers' own words."""

    texts: Annotated[list[WordsIn], Meta(min_length=1, max_length=MOST_TEXTS)]
    explain: Annotated[bool, Meta(description="Say which words moved each answer.")] = False


@router.post("/insights:query", openapi_extra=documented(QueryIn), responses=_FAILS)
async def query_insights(request: Request, state: Services, bundles: Bundles, key: Reader) -> Response:
    """Insights of up to 1,000 customers, in the order asked; ids behind which nobody is known are told apart."""
    given = read(await read_body(request, BODY_BYTES), QueryIn)
    return await run_in_threadpool(_query, state, bundles, given, "provisional" in key.scopes)


@router.post("/feedback:analyse", openapi_extra=documented(TextsIn), responses=_FAILS, tags=["feedback"])
async def analyse_feedback(request: Request, state: Services, key: Reader) -> Response:
    """How up to 256 texts feel, each decided as kept feedback would be; what would wait for a person is withheld.

    Nothing is stored and no case is opened.
    """
    given = read(await read_body(request, BODY_BYTES), TextsIn)
    most = state.settings.explained_per_request
    if given.explain and len(given.texts) > most:
        raise TooLarge(f"The request holds {len(given.texts)} texts with explain.", "Send them in several requests.",
                       code="too_many_texts", field="texts", allowed=(f"at most {most} with explain",))  # fmt: skip
    journeys = [JourneyIn(feedback=[_named(one, place)]) for place, one in enumerate(given.texts)]
    try:
        insights = await asking_of(request).ask(PredictionsIn(journeys, explain=given.explain))
    except Problem as problem:
        raise _of_texts(problem) from None
    provisional = "provisional" in key.scopes
    return as_json({"texts": [answer_of(one, None, provisional=provisional)["feeling"] for one in insights]})


def _query(state: State, bundles: LiveBundles, given: QueryIn, provisional: bool) -> Response:
    parts = fields_in(None if given.fields is None else ",".join(given.fields))
    found, unknown, live = list[Any](), list[str](), bundles.now()
    with closing(StoredInsights(state.service)) as stored:
        for asked in given.customer_ids:
            try:
                body = stored.find(asked, provisional=provisional)
                if body is None:
                    body = current(state, live, asked, provisional=provisional)
            except NotFound:
                unknown.append(asked)
                continue
            found.append(msgspec.Raw(body) if parts is None else only(msgspec.json.decode(body), parts))
    return as_json({"insights": found, "unknown": unknown})


def _named(words: WordsIn, place: int) -> WordsIn:
    return words if words.id else msgspec.structs.replace(words, id=f"text-{place}")


def _of_texts(problem: Problem) -> Problem:
    """What is wrong, by the place of the text."""
    if problem.field is None or not problem.field.startswith("journeys."):
        return problem
    _, place, _, _, name = problem.field.split(".", 4)
    kind = TooLarge if isinstance(problem, TooLarge) else Invalid
    told = problem.message.replace(problem.field, f"texts.{place}.{name}")
    return kind(told, problem.fix, code=problem.code, field=f"texts.{place}.{name}", value=problem.value,
                allowed=problem.allowed)  # fmt: skip
