"""The pages where people review: sign in, the queue, a case, the guideline. Everything works without JavaScript.

Each action is a form: it is checked, done in one transaction, and answered with a redirect to the page that shows what
is now. htmx follows the same redirects and swaps the part that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from models.journey.event import SECOND
from models.review import MAX_EMOTIONS, Answer, Ending, ReviewError, ReviewPolicy
from service.access import sessions, team
from service.access.sessions import Person
from service.body import read_body
from service.errors import BadRequest, Forbidden, Problem, TooMany, Unauthorized
from service.insights.store import restored
from service.live.bundles import bundles_of
from service.reviews import view
from service.reviews.desks import PolicyOf, open_desk
from service.reviews.filters import asked_for, choices, filter_of, query_of
from service.reviews.journey import span
from service.reviews.logic import Desk
from service.reviews.marks import Explains, Marks, Piece
from service.reviews.queue import EVERY, FILTERS, Filter
from service.reviews.queue import next_waiting as queue_next
from service.state import state_of
from service.web.pages import page, wants_part

router = APIRouter(prefix="/reviews", include_in_schema=False)

FORM_BYTES = 65_536
QUEUE_LINES = 12
EMOTION_KEYS: Mapping[str, str] = {
    "anger": "a", "annoyance": "y", "disappointment": "d", "disapproval": "v", "disgust": "k", "sadness": "s",
    "fear": "f", "nervousness": "w", "remorse": "r", "embarrassment": "b", "grief": "G", "confusion": "c",
    "curiosity": "q", "surprise": "p", "realization": "z", "gratitude": "g", "joy": "j", "love": "l", "relief": "u",
    "admiration": "m", "approval": "o", "caring": "h", "excitement": "x", "optimism": "t", "amusement": "i",
    "desire": "D", "pride": "P",
}  # fmt: skip
"""The key of each emotion while they are open, small or capital. Neutral is an answer, not an emotion."""
_HERE = Path(__file__).parent
_SIGNED_OUT = "You have been signed out. Sign in again and go on; everything you answered is saved."


@dataclass(frozen=True)
class Form:
    """What a form sent."""

    fields: dict[str, list[str]]

    def one(self, name: str) -> str:
        return self.fields.get(name, [""])[0]

    def every(self, name: str) -> tuple[str, ...]:
        return tuple(self.fields.get(name, ()))


async def form_of(request: Request) -> Form:
    """The form of this request. Raises BadRequest or TooLarge."""
    body = await read_body(request, FORM_BYTES)
    try:
        return Form(parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise BadRequest("The form has too many fields.", "Open the page again.", code="bad_form") from None


FormOf = Annotated[Form, Depends(form_of)]


def signed_in(request: Request) -> Person | None:
    """Who asks, if anybody is signed in."""
    state = state_of(request)
    with state.service.read() as connection:
        return sessions.person_of(connection, request, state.clock())


PersonOf = Annotated[Person | None, Depends(signed_in)]
WhichOf = Annotated[Filter, Depends(asked_for)]


@router.get("")
def queue(request: Request, person: PersonOf, policy: PolicyOf, which: WhichOf, why: str = "") -> Response:
    """What waits; or the way in."""
    if person is None:
        return _sign_in_page(request, _SIGNED_OUT if why == "signed_out" else "")
    with _reading(request, person, policy, which) as desk:
        holding = desk.holding() is not None
        context = {
            "counts": view.counts(desk),
            "waiting": view.waiting(desk, QUEUE_LINES),
            "holding": holding,
            "offered": holding or desk.is_offered(),
            "which": which,
            "choices": choices(desk.connection, which),
        }
    return page(_HERE, "queue.html", {**context, "person": person, "policy": policy, "here": "queue", "trouble": ""})


@router.post("/sign-in")
def sign_in(request: Request, form: FormOf) -> Response:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("This form came from another site.", "Open /reviews and sign in there.", code="csrf")
    try:
        token = sessions.sign_in(state_of(request), form.one("name"), form.one("password"), address_of(request))
    except (Unauthorized, TooMany) as error:
        return _sign_in_page(request, explained(error), name=form.one("name"), error=error)
    answer = see("/reviews")
    sessions.remember(answer, token, request, state_of(request))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, person: PersonOf, form: FormOf) -> Response:
    state = state_of(request)
    if person is not None:
        sessions.check_form(person, form.one("csrf"))
        with state.service.write() as connection:
            sessions.sign_out(connection, request, state.clock())
    answer = see("/reviews")
    sessions.forget(answer)
    return answer


@router.get("/guideline")
def guideline(person: PersonOf, policy: PolicyOf) -> Response:
    if person is None:
        return see("/reviews")
    return page(_HERE, "guideline.html", {"person": person, "policy": policy, "here": "guideline"})


@router.get("/case")
def case(request: Request, person: PersonOf, policy: PolicyOf, which: WhichOf, marks: str = "") -> Response:
    """The case that this person holds, or why there is none. Claims nothing: reading a page changes nothing.

    Words that moved the model are marked where that is known, or with `marks=yes`, which takes a moment.
    """
    if person is None:
        return to_sign_in(request)
    with _reading(request, person, policy, which) as desk:
        return _case_page(request, desk, person, wait=marks == "yes")


@router.get("/case/marks")
def marks(request: Request, person: PersonOf, policy: PolicyOf) -> Response:
    """The words of the case that this person holds, with those marked that moved the model."""
    if person is None:
        return to_sign_in(request)
    with _reading(request, person, policy, EVERY) as desk:
        held = desk.holding()
        case = view.case_view(desk, held, _explain_by(request, wait=True)) if held else None
    return page(_HERE, "marked_words.html", {"case": case}) if case else Response(status_code=204)


@router.get("/case/ahead")
def ahead(request: Request, person: PersonOf, policy: PolicyOf, which: WhichOf) -> Response:
    """The words of the case that comes after the one held, to be shown while a verdict is on its way. Claims nothing:
    somebody else may take it meanwhile, and then another comes. What explains it is computed then, and remembered."""
    if person is None:
        return to_sign_in(request)
    with _reading(request, person, policy, which) as desk:
        held, row = desk.holding(), queue_next(desk.connection, desk.asking)
        if row is None or (held is not None and held.subject == row.subject):
            return Response(status_code=204)
        case = view.case_view(desk, row, _explain_by(request))
        asked = restored(row).answer
    answer = page(_HERE, "case_ahead.html", {"case": case})
    if case.unmarked:
        answer.background = BackgroundTask(_explain_by(request, wait=True), case.text, str(asked), row.digest)
    return answer


@router.post("/next")
def take_next(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    again = form.one("again") == "yes"
    return _act(request, person, policy, form, lambda desk: desk.take_next(again=again))


@router.post("/case/verdict")
def verdict(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    """Answer the case, then take the next one, both in one transaction."""

    def act(desk: Desk) -> None:
        desk.answer(form.one("conclusion_id"), answer_of(form), form.one("verdict_id")[:64] or desk.ids(),
                    together=form.one("together") == "yes")  # fmt: skip
        desk.take_next()

    return _act(request, person, policy, form, act)


@router.post("/case/skip")
def skip(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    """Pass the case on: to others (`skipped`) or to an adjudicator (`escalated`). Then take the next one."""

    def act(desk: Desk) -> None:
        ending: Ending = "escalated" if form.one("ending") == "escalated" else "skipped"
        desk.give_back(form.one("conclusion_id"), ending=ending, reason=form.one("reason"))
        desk.take_next()

    return _act(request, person, policy, form, act)


@router.post("/case/release")
def give_back(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    return _act(request, person, policy, form, lambda desk: desk.give_back(form.one("conclusion_id")), to="/reviews")


@router.post("/case/renew")
def renew(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    return _act(request, person, policy, form, lambda desk: desk.keep(form.one("conclusion_id")))


@router.post("/case/undo")
def undo(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    return _act(request, person, policy, form, lambda desk: desk.undo_last())


def _act(
    request: Request, person: Person | None, policy: ReviewPolicy, form: Form, act: Callable[[Desk], Any],
    to: str = "/reviews/case",
) -> Response:  # fmt: skip
    """Do it in one transaction and go on; where it may not be done, show what is, with the reason above."""
    try:
        known = sessions.check_form(person, form.one("csrf") or request.headers.get("x-csrf-token", ""))
    except (Unauthorized, Forbidden):
        return to_sign_in(request)
    which = filter_of({name: form.one(name) for name in FILTERS})
    try:
        with open_desk(request, known.name, policy, which=which) as desk:
            act(desk)
    except ReviewError as error:
        with _reading(request, known, policy, which) as desk:
            status = 422 if error.code == "invalid_verdict" else 409
            return _case_page(request, desk, known, trouble=error.sentence, status=status)
    return see(f"{to}{query_of(which)}")


@contextmanager
def _reading(request: Request, person: Person, policy: ReviewPolicy, which: Filter) -> Iterator[Desk]:
    with open_desk(request, person.name, policy, which=which, writes=False) as desk:
        yield desk


def _case_page(
    request: Request, desk: Desk, person: Person, *, trouble: str = "", status: int = 200, wait: bool = False
) -> Response:
    held = desk.holding()
    counts = view.counts(desk)
    context = {
        "case": view.case_view(desk, held, _explain_by(request, wait=wait)) if held else None,
        "last": view.last_verdict(desk),
        "counts": counts,
        "skipped_left": 0 if held else _only_skipped(desk, counts),
        "offered": held is not None or desk.is_offered(),
        "which": desk.which,
        "query": query_of(desk.which),
        "emotions": EMOTION_KEYS,
        "max_emotions": MAX_EMOTIONS,
        "person": person,
        "policy": desk.policy,
        "here": "case",
        "trouble": trouble,
    }
    template = "case_part.html" if wants_part(request) else "case.html"
    return page(_HERE, template, context, status)


def _explain_by(request: Request, *, wait: bool = False) -> view.Explain:
    """Marks words by the bundle that serves, where it is the one that concluded; computes them only where `wait`."""
    live, marks = bundles_of(request).now(), cast(Marks, request.app.state.marks)

    def explain(text: str, answer: str, digest: str | None) -> Sequence[Piece] | None:
        if digest is None or digest != live.model.digest or not isinstance(live.bundle, Explains):
            return view.unmarked(text, answer, digest)
        return marks.of(live.bundle, digest, text, answer) if wait else marks.known(digest, text, answer)

    return explain


def _only_skipped(desk: Desk, counts: view.Counts) -> int:
    """How many wait, if all that wait were skipped by this person; else 0."""
    skipped = desk.skipped()
    return skipped if skipped == counts.open else 0


def answer_of(form: Form) -> Answer:
    """The answer that a form holds. Raises ReviewError."""
    intensity = form.one("intensity")
    if intensity and not intensity.lstrip("-").isdecimal():
        raise ReviewError("invalid_verdict", "Intensity is a whole number from -4 to 4.", field="intensity")
    note = form.one("note").replace("\r\n", "\n").strip()
    return Answer(form.one("answer"), form.every("emotions"), int(intensity) if intensity else None, note)


def _sign_in_page(request: Request, trouble: str, name: str = "", error: Problem | None = None) -> Response:
    with state_of(request).service.read() as connection:
        nobody = team.is_empty(connection)
    context = {"trouble": trouble, "name": name, "nobody": nobody, "person": None, "here": ""}
    answer = page(_HERE, "sign_in.html", context, error.status if error else 200)
    answer.headers.update(error.headers if error else {})
    return answer


def address_of(request: Request) -> str:
    """Where a request came from, for the limits against guessing."""
    return request.client.host if request.client else ""


def explained(error: Problem) -> str:
    """What went wrong as people say it on a page."""
    if (seconds := error.headers.get("Retry-After")) is not None:
        return f"There were too many wrong tries. Try again in {span(int(seconds) * SECOND)}."
    return f"{error.message} {error.fix}"


def to_sign_in(request: Request) -> Response:
    """Where somebody who is not signed in is sent; htmx is told to open that page as a whole."""
    where = "/reviews?why=signed_out"
    return Response(status_code=401, headers={"HX-Redirect": where}) if wants_part(request) else see(where)


def see(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)
