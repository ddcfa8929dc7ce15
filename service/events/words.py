"""Which words of an event are a customer's own, and how personal data is taken out of them before the log has them.

Knows the log, for it tells the names of who speaks; what is masked is masking.py's part. An event without words is
handed on as it is.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from models.features import cues
from models.journey.event import Event, Micros
from models.journey.touchpoint import TOUCHPOINT_KINDS, Touchpoint, look_up
from service.errors import Invalid, TooLarge
from service.events.splitting import CANNOT_DECODE
from service.masking import FEEDBACK_TEXT, Masking, names_in

IDENTIFIES_READ = 1_000
"""Most different things that `identify` told of one id."""
HEAD_BYTES = 4_096
"""How much is masked of a refused event that is too large to be kept: less of it is."""

EDITS = "edits"
"""The property of a feedback that names the feedback whose words it changes; see revisions.py."""
LEAST_SURE = 0.5
"""How probable a language must be to be kept; very short texts are below."""


def get_ready() -> None:
    """Read what tells languages apart while other things start, and not when a disk may be full; where it is full
    already, the first text tries again."""

    def read() -> None:
        with suppress(OSError):
            cues.get_ready()

    threading.Thread(target=read, name="languages", daemon=True).start()


def check_text(text: str, longest: int, field: str) -> None:
    """Raises Invalid for a text without a word, TooLarge for one that is longer than is kept."""
    if not text.strip():
        raise Invalid(f"{field} is empty.", "Send the customer's own words.", field=field)
    if len(text) > longest:
        raise TooLarge(f"{field} has {len(text)} characters.", "Shorten it.", code="text_too_long", field=field,
                       allowed=(f"at most {longest} characters",))  # fmt: skip


def paths_with_words(event: Event, masking: Masking) -> list[str]:
    """Where this event holds words: at any place that some rule of the catalogue names, whichever rule takes it."""
    if event.kind == "feedback":
        return [FEEDBACK_TEXT]
    under = masking.only_under
    if event.kind not in TOUCHPOINT_KINDS or (under is not None and under.isdisjoint(event.properties)):
        return []
    return [path for path in masking.paths if isinstance(said := look_up(event, path), str) and said]


def have_words(events: Iterable[Event], masking: Masking) -> bool:
    """Whether masking these could change any: quick, for few events hold words."""
    return any(paths_with_words(event, masking) for event in events)


def before_log(connection: Connection, events: Sequence[Event], masking: Masking) -> list[Event]:
    """The events as the log may keep them; `connection` reads the log."""
    if masking.keep:
        return list(events)
    names = Names(connection)
    for event in events:
        names.learn(event)
    return [_masked(event, masking, names.of(event)) for event in events]


def as_shown(connection: Connection, events: Sequence[Event], masking: Masking) -> list[Event]:
    """The events of the log as people, models and exports may see them; `connection` reads the log.

    By the names that were known when the event was received, so that folding the log again gives the same words.
    """
    if masking.show:
        return list(events)
    names = Names(connection)
    return [_masked(event, masking, names.of(event, event.received_at)) for event in events]


def letter_before_log(connection: Connection, raw: bytes, masking: Masking, most_bytes: int) -> bytes:
    """A refused event as it may be kept: where it is an object its words are masked, else all that can be found."""
    if masking.keep:
        return raw
    if len(raw) > most_bytes:
        return _masked_text(raw[:HEAD_BYTES], masking) + raw[HEAD_BYTES:]
    try:
        sent = msgspec.json.decode(raw)
        event = Event("", "track", sent.get("event") or "", _text(sent.get("userId")), _text(sent.get("anonymousId")),
                      0, 0, dict(sent.get("properties") or {}), dict(sent.get("context") or {}))  # fmt: skip
        hidden = _masked(event, masking, Names(connection).of(event))
    except (*CANNOT_DECODE, AttributeError, TypeError, ValueError):
        return _masked_text(raw, masking)
    if hidden is event:
        return raw
    new = {"event": hidden.name, "properties": hidden.properties, "context": hidden.context}
    return msgspec.json.encode({name: new.get(name, value) for name, value in sent.items()})


def _masked_text(raw: bytes, masking: Masking) -> bytes:
    return masking.mask(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def words_of(event: Event, point: Touchpoint | None = None) -> tuple[Any, ...]:
    """The last columns of `feedback`, from its channel on: of a feedback, or of the touchpoint that an event became."""
    if point is not None and point.text is not None:
        return (
            point.channel, point.text, point.rating, None, point.rated, point.scale, *_language(None, point.text)
        )  # fmt: skip
    given = event.properties
    text = str(given["text"])
    return (
        event.name, text, given["rating"], given.get(EDITS), given.get("rated"), given.get("scale"),
        *_language(given.get("language"), text),
    )  # fmt: skip


def _language(given: Any, text: str) -> tuple[str | None, bool]:
    """The language and whether it was given; none where the words do not tell it."""
    if isinstance(given, str):
        return given, True
    code, probability = cues.language(text)
    return (code, False) if probability >= LEAST_SURE else (None, False)


@dataclass
class Names:
    """The names behind ids, each looked up once."""

    connection: Connection
    _heard: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    _known: dict[tuple[str, str], list[tuple[Micros, frozenset[str]]]] = field(default_factory=dict)

    def learn(self, event: Event) -> None:
        """What an event that is not in the log yet says of who sends it."""
        if event.kind == "identify" and (told := names_in(event.properties)):
            for id in _ids(event):
                self._heard[id] |= told

    def of(self, event: Event, known_at: Micros | None = None) -> Callable[[], frozenset[str]]:
        """The names of who sent an event, looked up when they are asked for; all, or those known by then."""

        def names() -> frozenset[str]:
            traits = event.context.get("traits")
            found = names_in(traits) if isinstance(traits, Mapping) else frozenset[str]()
            for id in _ids(event):
                told = [names for at, names in self._told(id) if known_at is None or at <= known_at]
                found = found.union(self._heard.get(id, ()), *told)
            return found

        return names

    def _told(self, id: tuple[str, str]) -> list[tuple[Micros, frozenset[str]]]:
        """What was told of an id, and when first."""
        if id not in self._known:
            column, value = id
            sql = (f"SELECT properties, min(received_at) FROM log WHERE kind = 'identify' AND {column} = ? "  # noqa: S608
                   "GROUP BY properties LIMIT ?")  # fmt: skip
            rows = self.connection.exec_driver_sql(sql, (value, IDENTIFIES_READ))
            self._known[id] = [(at, names_in(msgspec.json.decode(properties))) for properties, at in rows]
        return self._known[id]


def _ids(event: Event) -> list[tuple[str, str]]:
    """The ids under which `identify` may have told the names of who speaks."""
    ids = (("user_id", event.user_id), ("anonymous_id", event.anonymous_id))
    return [(column, value) for column, value in ids if value is not None]


def _masked(event: Event, masking: Masking, names: Callable[[], frozenset[str]]) -> Event:
    """The event itself where nothing of it is masked."""
    for path in paths_with_words(event, masking):
        text = str(look_up(event, path))
        hidden = masking.mask(text, names() if masking.knows_names else ())
        if hidden != text:
            event = _with(event, path, hidden)
    return event


def _with(event: Event, path: str, text: str) -> Event:
    """A copy of the event with this text at a path such as properties.note.body."""
    head, *steps = path.split(".")
    if head == "event":
        return replace(event, name=text)
    if head == "properties":
        return replace(event, properties=_set(event.properties, steps, text))
    return replace(event, context=_set(event.context, steps, text)) if head == "context" else event


def _set(values: Mapping[str, Any], steps: Sequence[str], text: str) -> dict[str, Any]:
    first, *rest = steps
    return {**values, first: _set(values[first], rest, text) if rest else text}


def without_words(event: Event, masking: Masking) -> Event:
    """The event with every text in it empty, as no rule of the catalogue finds it."""
    for path in paths_with_words(event, masking):
        event = _with(event, path, "")
    return event
