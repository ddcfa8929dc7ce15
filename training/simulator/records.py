"""From drawn journeys to records as a tracking system keeps them: ids, devices, identify calls, clocks, JSON, texts.

Everything added here depends only on the touchpoint, its polarity and the customer's own devices, never on the hidden
state. One chunk of customers at a time, as Arrow tables; nothing is written to disk.
"""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.simulator.company import Company, Floats, Ints
from training.simulator.odds import EVENT_NAMES
from training.simulator.process import Drawn, clock
from training.simulator.texts import Feedback, draws_for, write_feedback

DAY_US = 86_400_000_000
CALENDAR_DAYS = 548
NEW_CLAUSES = 0.35
"""Share of all clauses that nobody uses on the first day of the calendar."""
_IDENTIFY_BEFORE_US = 1_000

DEVICES = ("phone", "laptop", "tablet", "showroom_tablet")
_OWNED = np.array([1.0, 0.7, 0.3, 0.4])  # the chance that a customer has each device
_USED: dict[str, tuple[str, ...]] = {  # channel -> devices; what is not named is recorded by the company's own systems
    **dict.fromkeys(("search", "display", "web"), ("phone", "laptop", "tablet")),
    **dict.fromkeys(("chat", "email", "finance", "survey", "review"), ("phone", "laptop")),
    **dict.fromkeys(("app", "ar", "social"), ("phone", "tablet")),
    **dict.fromkeys(("call", "loyalty"), ("phone",)),
    "dealer": ("showroom_tablet",),
}
_BY_SYSTEM = ("email.sent",)
_PAID = ("dealer.purchase", "refund.paid")  # touchpoints with an amount of money

_MOMENT = pa.timestamp("us", tz="UTC")
EVENTS = pa.schema(
    [
        ("message_id", pa.string()),
        ("type", pa.string()),
        ("event", pa.string()),
        ("user_id", pa.string()),
        ("anonymous_id", pa.string()),
        ("occurred_at", _MOMENT),
        ("received_at", _MOMENT),
        ("properties", pa.string()),
        ("context", pa.string()),
    ]
)
FEEDBACK = pa.schema(
    [
        ("feedback_id", pa.string()),
        ("user_id", pa.string()),
        ("said_at", _MOMENT),
        ("received_at", _MOMENT),
        ("channel", pa.string()),
        ("text", pa.string()),
        ("rating", pa.int8()),
        ("polarity", pa.string()),
        ("emotions", pa.list_(pa.string())),
        ("intensity", pa.float32()),
        ("nuance", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one chunk. `message_ids` and `user_ids` name the drawn touchpoints (R) and customers (N)."""

    events: pa.Table
    feedback: pa.Table
    message_ids: list[str]
    user_ids: list[str]


def moments_us(days: Floats, calendar_start_us: int) -> Ints:
    """Days of activity -> microseconds since the Unix epoch."""
    return calendar_start_us + np.round(clock(days) * DAY_US).astype(np.int64)


def record(company: Company, drawn: Drawn, seed: int, first_customer: int, rng: np.random.Generator) -> Records:
    """Record a chunk of journeys whose customers are numbered from `first_customer`."""
    names, kind = company.touchpoints, company.touchpoint_of_mark[drawn.mark]
    index = np.arange(len(kind)) - drawn.offsets[drawn.customer]
    user_ids = [f"s{seed}-{first_customer + k:07d}" for k in range(len(drawn.offsets) - 1)]
    ids = [f"{user_ids[c]}-{k:04d}" for c, k in zip(drawn.customer.tolist(), index.tolist(), strict=True)]
    occurred = moments_us(drawn.days, company.calendar_start_us)
    delay = _delays(len(kind), rng)
    device = _devices(names, drawn, kind, rng)
    said, feedback = _feedback(company, drawn, rng)
    properties = _properties(names, kind, said, feedback, rng)

    fresh = _first_on_each_device(drawn.customer, device)
    rows = np.concatenate([np.arange(len(kind)), fresh])
    identify = np.arange(len(rows)) >= len(kind)
    named = identify | (device[rows] < 0) | (rng.random(len(rows)) < 0.75)
    happened = occurred[rows] - np.where(identify, _IDENTIFY_BEFORE_US, 0)
    anonymous = [f"{value:016x}" for value in rng.integers(2**63, size=len(user_ids) * len(DEVICES)).tolist()]
    slot = drawn.customer * len(DEVICES) + device
    event_of = {touchpoint: event for event, touchpoint in EVENT_NAMES.items()}
    columns = {
        "message_id": pa.array(ids + [f"{ids[row]}i" for row in fresh.tolist()]),
        "type": _spread(np.where(identify, 2, kind[rows] == names.index("web.visit")), ["track", "page", "identify"]),
        "event": _spread(kind[rows], [event_of[name] for name in names], missing=identify),
        "user_id": _spread(drawn.customer[rows], user_ids, missing=~named),
        "anonymous_id": _spread(slot[rows], anonymous, missing=device[rows] < 0),
        "occurred_at": pa.array(happened, type=_MOMENT),
        "received_at": pa.array(happened + delay[rows], type=_MOMENT),
        "properties": pa.concat_arrays([properties, pa.array(["{}"] * len(fresh), type=pa.string())]),
        "context": _spread(device[rows] + 1, [_context("server"), *map(_context, DEVICES)]),
    }
    told = _feedback_table(said, feedback, ids, [user_ids[c] for c in drawn.customer[said].tolist()], kind, names)
    told = told.append_column(FEEDBACK.field("said_at"), pa.array(occurred[said], type=_MOMENT))
    told = told.append_column(FEEDBACK.field("received_at"), pa.array((occurred + delay)[said], type=_MOMENT))
    return Records(pa.table(columns, schema=EVENTS), told.select(FEEDBACK.names).cast(FEEDBACK), ids, user_ids)


def _spread(index: Ints, values: list[str], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """A string column that takes `values` by index, null where missing."""
    positions = pa.array(index.astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(positions, pa.array(values, type=pa.string())).dictionary_decode()


def _delays(rows: int, rng: np.random.Generator) -> Ints:
    """Microseconds until each record is received: seconds mostly, hours for three in a thousand."""
    seconds = rng.lognormal(mean=0.7, sigma=1.0, size=rows)
    hours = np.where(rng.random(rows) < 0.003, rng.uniform(1.0, 30.0, size=rows), 0.0)
    return ((seconds + 3600.0 * hours) * 1e6).astype(np.int64)


def _devices(names: tuple[str, ...], drawn: Drawn, kind: Ints, rng: np.random.Generator) -> Ints:
    """The device (index into DEVICES) of each touchpoint, -1 where the company's own systems recorded it."""
    owned = rng.random((len(drawn.offsets) - 1, len(DEVICES))) < _OWNED
    used = np.array([[d in _USED.get(n.split(".")[0], ()) and n not in _BY_SYSTEM for d in DEVICES] for n in names])
    possible = owned[drawn.customer] & used[kind]
    chosen = np.argmax(np.where(possible, rng.random(possible.shape), -1.0), axis=1)
    return np.where(possible.any(axis=1), chosen, -1).astype(np.int64)


def _first_on_each_device(customer: Ints, device: Ints) -> Ints:
    rows = np.flatnonzero(device >= 0)
    _, first = np.unique(customer[rows] * len(DEVICES) + device[rows], return_index=True)
    return np.asarray(rows[np.sort(first)])


def _feedback(company: Company, drawn: Drawn, rng: np.random.Generator) -> tuple[Ints, list[Feedback]]:
    """The rows with words in them, and the words: a third of all clauses comes into use as the calendar goes on."""
    spoken = np.array([mark.polarity is not None for mark in company.marks])
    said = np.flatnonzero(spoken[drawn.mark])
    marks = [company.marks[mark] for mark in drawn.mark[said].tolist()]
    draws = draws_for(len(said), rng)
    in_use = 1 - NEW_CLAUSES * (1 - drawn.days[said] / CALENDAR_DAYS)
    each = zip(marks, draws, in_use.tolist(), strict=True)
    return said, [write_feedback(mark.touchpoint, str(mark.polarity), own, share) for mark, own, share in each]


def _properties(
    names: tuple[str, ...], kind: Ints, said: Ints, feedback: list[Feedback], rng: np.random.Generator
) -> pa.Array:
    channels = [name.split(".")[0] for name in names]
    values = [json.dumps({"channel": channel}) for channel in channels]
    position = kind.copy()
    paid = np.flatnonzero(np.isin(kind, [names.index(name) for name in _PAID]))
    position[paid] = len(values) + np.arange(len(paid))
    for row, hundreds in zip(kind[paid].tolist(), rng.integers(149, 500, size=len(paid)).tolist(), strict=True):
        values.append(json.dumps({"channel": channels[row], "value": hundreds * 100.0, "currency": "EUR"}))
    position[said] = len(values) + np.arange(len(said))
    for row, words in zip(kind[said].tolist(), feedback, strict=True):
        stars = {} if words.rating is None else {"rating": words.rating}
        values.append(json.dumps({"channel": channels[row], "text": words.text, **stars}, ensure_ascii=False))
    return _spread(position, values)


def _feedback_table(
    said: Ints, feedback: list[Feedback], ids: list[str], users: list[str], kind: Ints, names: tuple[str, ...]
) -> pa.Table:
    return pa.table(
        {
            "feedback_id": pa.array([ids[row] for row in said.tolist()], type=pa.string()),
            "user_id": pa.array(users, type=pa.string()),
            "channel": _spread(kind[said], [name.split(".")[0] for name in names]),
            "text": pa.array([words.text for words in feedback], type=pa.string()),
            "rating": pa.array([words.rating for words in feedback], type=pa.int8()),
            "polarity": pa.array([words.polarity for words in feedback], type=pa.string()),
            "emotions": pa.array([list(words.emotions) for words in feedback], type=pa.list_(pa.string())),
            "intensity": pa.array([words.intensity for words in feedback], type=pa.float32()),
            "nuance": pa.array([words.nuance for words in feedback], type=pa.string()),
        }
    )


def _context(device: str) -> str:
    return json.dumps({"device": {"type": device}, "library": {"name": "made-up-company"}})
