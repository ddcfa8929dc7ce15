"""POST /v1/feedback: what a customer said, in the log before the answer, once by its id, without personal data.

Concludes nothing: the worker folds and concludes it.
"""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection

from models.journey.event import Event, Micros, format_time, parse_time
from models.journey.rating import STARS, Rating
from models.journey.touchpoint import slug
from service.errors import Conflict, Invalid
from service.events import store
from service.events.revisions import Outcome, Revisions
from service.events.tracking import MAX_ID, MAX_MESSAGE_ID, within_reason
from service.events.words import before_log, check_text
from service.state import State

_NO_NUL = r"^[^\x00]*$"


class FeedbackIn(BaseModel):
    """One text of one customer. `customer_id` is a userId; send `anonymous_id` instead where that is all you know."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: str = Field(
        min_length=1, max_length=MAX_MESSAGE_ID, pattern=_NO_NUL, validation_alias=AliasChoices("id", "feedback_id"),
        description="Yours. The same words with it again are a repeat, other words with a later said_at an edit.",
    )  # fmt: skip
    customer_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ID,
        pattern=_NO_NUL,
        validation_alias=AliasChoices("customer_id", "customer"),
    )
    anonymous_id: str | None = Field(default=None, min_length=1, max_length=MAX_ID, pattern=_NO_NUL)
    text: str = Field(min_length=1, description="The customer's own words.")
    said_at: str = Field(description="When it was said, or last edited, ISO 8601; without a zone it is UTC.")
    channel: str = Field(min_length=1, max_length=200, description="Where it was said: chat, e-mail, survey, …")
    rating: int | None = Field(
        default=None, ge=-999_999, le=999_999, description="Stars, or a number on the scale of rating_scale."
    )
    rating_scale: str = Field(
        default=STARS, max_length=20, description="Worst and best: 1-5 stars, 0-10 for a Net Promoter Score, 1-100, …"
    )
    language: str | None = Field(
        default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", description="BCP 47; missing: detected."
    )

    @model_validator(mode="after")
    def _one_customer(self) -> FeedbackIn:
        if (self.customer_id is None) == (self.anonymous_id is None):
            raise ValueError("send customer_id, or anonymous_id in its place")
        return self


class FeedbackKept(BaseModel):
    """What became of it. `repeated`: it was here already; `edited`: its words take the place of earlier ones."""

    feedback_id: str
    repeated: bool
    edited: bool


def keep(state: State, given: FeedbackIn) -> FeedbackKept:
    """Commit to the log. Raises Invalid, TooLarge, or Conflict: the id stands for something else, or who said it was
    erased."""
    now = state.clock()
    event = _event(state, given, now)
    with state.log.read() as connection:
        (event,) = before_log(connection, [event], state.masking)

    def append(connection: Connection) -> Outcome:
        outcome, found = Revisions(connection, state.masking).take(event)
        if outcome in (Outcome.NEW, Outcome.EDITED) and not store.append_on(connection, [found], now, "feedback"):
            raise Conflict("This customer was erased.", "Nothing is kept of them until the erasure is lifted.",
                           code="customer_erased")  # fmt: skip
        return outcome

    outcome = state.writer.submit(append).result()
    if outcome is Outcome.CONFLICT:
        raise Conflict(f"Feedback {given.id!r} was sent before, of another customer or with other words.",
                       "An edit is of the same customer and has a later said_at; anything else needs a new id.",
                       code="feedback_id_taken", field="id", value=given.id)  # fmt: skip
    return FeedbackKept(
        feedback_id=given.id, repeated=outcome is Outcome.REPEATED, edited=outcome is Outcome.EDITED
    )  # fmt: skip


def _event(state: State, given: FeedbackIn, now: Micros) -> Event:
    check_text(given.text, state.settings.text_characters, "text")
    return Event(
        message_id=given.id,
        kind="feedback",
        name=slug(given.channel, "other"),
        user_id=given.customer_id,
        anonymous_id=given.anonymous_id,
        occurred_at=_said_at(given.said_at, now, state.settings.future_tolerance),
        received_at=now,
        properties=_properties(given),
    )


def _properties(given: FeedbackIn) -> dict[str, Any]:
    """As the log keeps it: `rating` in stars, and as it was given where its scale is another."""
    try:
        rating = None if given.rating is None else Rating.of(given.rating, given.rating_scale)
    except ValueError as error:
        field = "rating_scale" if str(error).startswith("scale") else "rating"
        raise Invalid(f"{error}.", "Send worst-best as rating_scale, and a rating within it.", field=field,
                      value=getattr(given, field)) from None  # fmt: skip
    found: dict[str, Any] = {"text": given.text, "rating": rating.stars if rating else None}
    if rating and given.rating_scale != STARS:
        found |= {"rated": given.rating, "scale": given.rating_scale}
    return found | ({"language": given.language} if given.language else {})


def _said_at(given: str, now: Micros, tolerance: Micros) -> Micros:
    try:
        return within_reason(parse_time(given), now, tolerance, "said_at")
    except (ValueError, OverflowError) as error:
        raise Invalid(f"said_at: {error}.", f"Send a moment from 1970 to {format_time(now)}.", field="said_at",
                      value=given) from None  # fmt: skip
