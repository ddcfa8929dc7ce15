"""POST /v1/feedback: what a customer said, in the log before the answer, once by its id.

Concludes nothing: the worker folds and concludes it.
"""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection

from models.journey.event import Event, Micros, format_time, parse_time
from models.journey.touchpoint import slug
from service.errors import Conflict, Invalid, TooLarge
from service.events import store
from service.events.tracking import MAX_ID, MAX_MESSAGE_ID, within_reason
from service.state import State

_NO_NUL = r"^[^\x00]*$"


class FeedbackIn(BaseModel):
    """One text of one customer. `customer_id` is a userId; send `anonymous_id` instead where that is all you know."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    id: str = Field(
        min_length=1, max_length=MAX_MESSAGE_ID, pattern=_NO_NUL, validation_alias=AliasChoices("id", "feedback_id"),
        description="Yours; a second feedback with it is a repeat.",
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
    said_at: str = Field(description="When it was said, ISO 8601; without a zone it is UTC.")
    channel: str = Field(min_length=1, max_length=200, description="Where it was said: chat, e-mail, survey, …")
    rating: int | None = Field(default=None, ge=1, le=5, description="Stars, if any came with it.")

    @model_validator(mode="after")
    def _one_customer(self) -> FeedbackIn:
        if (self.customer_id is None) == (self.anonymous_id is None):
            raise ValueError("send customer_id, or anonymous_id in its place")
        return self


class FeedbackKept(BaseModel):
    """What became of it. `repeated`: it was here already."""

    feedback_id: str
    repeated: bool


def keep(state: State, given: FeedbackIn) -> FeedbackKept:
    """Commit to the log. Raises Invalid, TooLarge, or Conflict where the id was given to other words before."""
    now = state.clock()
    check_text(given.text, state.settings.text_characters, "text")
    event = Event(
        message_id=given.id,
        kind="feedback",
        name=slug(given.channel, "other"),
        user_id=given.customer_id,
        anonymous_id=given.anonymous_id,
        occurred_at=said_moment(given.said_at, now, state.settings.future_tolerance),
        received_at=now,
        properties={"text": given.text, "rating": given.rating},
    )

    def append(connection: Connection) -> Event | None:
        new = store.append_on(connection, [event], now, "feedback")
        return None if new else store.find(connection, given.id, "feedback")

    first = state.writer.submit(append).result()
    if first is None:
        return FeedbackKept(feedback_id=given.id, repeated=False)
    if _words(first) != _words(event):
        raise Conflict(f"Feedback {given.id!r} was sent before with other words.", "Send a change under a new id.",
                       code="feedback_id_taken", field="id", value=given.id)  # fmt: skip
    return FeedbackKept(feedback_id=given.id, repeated=True)


def check_text(text: str, longest: int, field: str) -> None:
    """Raises Invalid for a text without a word, TooLarge for one that is longer than is kept."""
    if not text.strip():
        raise Invalid(f"{field} is empty.", "Send the customer's own words.", field=field)
    if len(text) > longest:
        raise TooLarge(f"{field} has {len(text)} characters.", "Shorten it.", code="text_too_long", field=field,
                       allowed=(f"at most {longest} characters",))  # fmt: skip


def said_moment(given: str, now: Micros, tolerance: Micros) -> Micros:
    """A caller's `said_at`. Raises Invalid."""
    try:
        return within_reason(parse_time(given), now, tolerance, "said_at")
    except (ValueError, OverflowError) as error:
        raise Invalid(f"said_at: {error}.", f"Send a moment from 1970 to {format_time(now)}.", field="said_at",
                      value=given) from None  # fmt: skip


def _words(event: Event) -> tuple[object, ...]:
    """What makes two feedbacks the same; a said_at that was a little ahead of our clock moves with the clock."""
    return (event.user_id, event.anonymous_id, event.name, event.properties["text"], event.properties["rating"])
