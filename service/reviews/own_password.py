"""The page where somebody on the team changes their own password: the old one first, then the new one twice.

Other sessions of that person end; the one that asks goes on. A forgotten password is the operator's to replace
(`python -m service reviewers password`).
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response

from models.review import ReviewPolicy
from service.access import sessions
from service.access.sessions import Person
from service.errors import Invalid, Problem, TooMany, Unauthorized
from service.reviews.desks import PolicyOf
from service.reviews.pages import Form, FormOf, PersonOf, address_of, explained, see, to_sign_in
from service.state import state_of
from service.web.pages import page

router = APIRouter(prefix="/reviews", include_in_schema=False)

_HERE = Path(__file__).parent


@router.get("/password")
def own_password(request: Request, person: PersonOf, policy: PolicyOf, changed: str = "") -> Response:
    if person is None:
        return to_sign_in(request)
    return _page(person, policy, changed=changed == "yes")


@router.post("/password")
def change_own_password(request: Request, person: PersonOf, policy: PolicyOf, form: FormOf) -> Response:
    if person is None:
        return to_sign_in(request)
    sessions.check_form(person, form.one("csrf"))
    try:
        sessions.change_password(state_of(request), request, person, form.one("password"), _new_of(form),
                                 address_of(request))  # fmt: skip
    except (Unauthorized, TooMany, Invalid) as error:
        return _page(person, policy, error)
    return see("/reviews/password?changed=yes")


def _new_of(form: Form) -> str:
    """The new password. Raises Invalid where it was not the same twice."""
    new = form.one("new")
    if new != form.one("again"):
        raise Invalid("The new password was not the same twice.", "Type it again.", field="again")
    return new


def _page(person: Person, policy: ReviewPolicy, error: Problem | None = None, *, changed: bool = False) -> Response:
    wrong = "" if error is None else error.field or "password"
    told = {"trouble": explained(error) if error else "", "wrong": wrong, "changed": changed}
    context = {"person": person, "policy": policy, "here": "password", **told}
    answer = page(_HERE, "own_password.html", context, error.status if error else 200)
    answer.headers.update(error.headers if error else {})
    return answer
