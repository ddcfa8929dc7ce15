"""What events say of identity: the ids that they carry, and the claims that one of them belongs to another.

**Ids** carry their kind: `u:` a known user, `a:` a device, `x:email:…` or `x:crm:…` an id of a person (Rules.kinds
names which; of an e-mail address its sha256). An event claims that its weaker ids belong to its strongest one: a user,
then a person's id, then a device. An alias claims that the previous id belongs to the new one. Which claims stand is
identity.py's part.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from models.journey.event import Event, Micros

DEVICE, KNOWN, PERSON = "a:", "u:", "x:"
EMAIL = "email"
SPLIT = "split"
"""The kind of an event that undoes a claim: an operator's, never a client's."""
MOST_CHARACTERS = 256

Pair: TypeAlias = tuple[str, str]
"""An id and the owner it is claimed for."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which ids of persons count, and how many known users may be one customer."""

    kinds: tuple[str, ...] = (EMAIL,)
    most_users: int = 5

    def to_dict(self) -> dict[str, Any]:
        return {"kinds": list(self.kinds), "most_users": self.most_users}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Rules:
        return cls(tuple(map(str, told["kinds"])), int(told["most_users"]))


@dataclass(frozen=True, slots=True)
class Claim:
    """`id` belongs to `owner`, by this rule (`anonymousId`, `alias`, or a kind of person's id).

    Of all that events say of one pair: when it first happened, and `told_at` when we knew that; and when we first knew
    the pair, from which message.
    """

    id: str
    owner: str
    rule: str
    occurred_at: Micros
    told_at: Micros
    known_at: Micros
    message_id: str

    @property
    def pair(self) -> Pair:
        return self.id, self.owner

    def both(self, other: Claim) -> Claim:
        """Two claims on one pair as one, in whatever order they come."""
        if self.known_at < other.known_at and self.occurred_at < other.occurred_at:
            return self  # most of them: the same again
        one = min(self, other, key=lambda claim: (claim.known_at, claim.message_id, claim.rule))
        occurred_at, told_at = min((self.occurred_at, self.told_at), (other.occurred_at, other.told_at))
        return replace(one, occurred_at=occurred_at, told_at=told_at)


@dataclass(frozen=True, slots=True)
class Split:
    """An operator undid a claim on this pair: it does not stand, however often it is made again."""

    id: str
    owner: str
    known_at: Micros
    message_id: str

    @property
    def pair(self) -> Pair:
        return self.id, self.owner


DEFAULT = Rules()


def claims_of(event: Event, rules: Rules = DEFAULT) -> list[Claim]:
    """What an event says of identity.

    The previous id of an alias is a known id, unless the event itself says that it is the device's. A claim is known
    once its event was received and has happened: a clock that runs ahead joins nothing before its time.

    >>> [claim] = claims_of(Event("m1", "identify", "", "u1", "dev9", 5, 6))
    >>> claim
    Claim(id='a:dev9', owner='u:u1', rule='anonymousId', occurred_at=5, told_at=6, known_at=6,
    message_id='m1')
    """
    if event.kind == SPLIT:
        return []
    found = [(KNOWN + event.user_id, "userId")] if event.user_id else []
    found += [(f"{PERSON}{kind}:{value}", kind) for kind, value in _persons(event, rules)]
    aliases = event.kind == "alias" and event.previous_id not in (None, "", event.user_id, event.anonymous_id)
    if aliases and event.user_id:
        found.append((f"{KNOWN}{event.previous_id}", "alias"))
    elif event.anonymous_id:
        found.append((DEVICE + event.anonymous_id, "anonymousId"))
    if len(found) < 2:
        return []
    at = max(event.received_at, event.occurred_at)
    return [Claim(id, found[0][0], rule, event.occurred_at, at, at, event.message_id) for id, rule in found[1:]]


def _persons(event: Event, rules: Rules) -> Iterator[tuple[str, str]]:
    """(kind, value) of the ids of persons that an event carries, in the order of the rules, each once."""
    if not rules.kinds or not (event.context or event.kind == "identify"):
        return
    told: dict[str, dict[str, None]] = defaultdict(dict)
    listed = event.context.get("externalIds")
    for one in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        if isinstance(one, Mapping) and one.get("collection", "users") == "users":
            told[str(one.get("type"))][_text(one.get("id"))] = None
    for traits in (event.properties if event.kind == "identify" else None, event.context.get("traits")):
        if isinstance(traits, Mapping) and EMAIL in traits:
            told[EMAIL][_text(traits[EMAIL])] = None
    for kind in rules.kinds:
        for value in told.get(kind, ()):
            if value:
                yield kind, hashed(value) if kind == EMAIL else value


def _text(value: Any) -> str:
    """An id as it was sent; nothing for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value).strip()
    return text if len(text) <= MOST_CHARACTERS else ""


def hashed(address: str) -> str:
    """An e-mail address as it is kept: sha256 of its small letters.

    >>> hashed(" Ada@Example.org ") == hashed("ada@example.org")
    True
    """
    return hashlib.sha256(address.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()


def split_of(event: Event) -> Split | None:
    """What an event of kind `split` undoes; none where it is another, or names no pair any more.

    The pair is in the event's own ids, as of the claims that it undoes, so that whoever is erased is gone from here as
    from there; ids of persons are in its properties.
    """
    if event.kind != SPLIT:
        return None
    told = event.properties.get("id"), event.properties.get("owner")
    id = told[0] or _named(KNOWN, event.previous_id) or _named(DEVICE, event.anonymous_id)
    owner = told[1] or _named(KNOWN, event.user_id)
    if not isinstance(id, str) or not isinstance(owner, str):
        return None
    return Split(id, owner, max(event.received_at, event.occurred_at), event.message_id)


def _named(kind: str, id: str | None) -> str | None:
    return kind + id if id else None


def split_event(pair: Pair, message_id: str, at: Micros, by: str, reason: str) -> Event:
    """The event that undoes a claim.

    >>> split_of(split_event(("a:dev9", "u:u1"), "m2", 7, "Ada", ""))
    Split(id='a:dev9', owner='u:u1', known_at=7, message_id='m2')
    """
    id, owner = pair
    told = {name: one for name, one in (("id", id), ("owner", owner)) if one.startswith(PERSON)}
    return Event(
        message_id, SPLIT, "", owner[2:] if owner.startswith(KNOWN) else None,
        id[2:] if id.startswith(DEVICE) else None, at, at, {**told, "by": by, "reason": reason}, {},
        id[2:] if id.startswith(KNOWN) else None,
    )  # fmt: skip


def own_id(event: Event) -> str:
    """The id that the event itself carries, with its kind; a known id before a device."""
    if event.user_id:
        return KNOWN + event.user_id
    if event.anonymous_id:
        return DEVICE + event.anonymous_id
    raise ValueError(f"event {event.message_id!r} has neither userId nor anonymousId; send at least one")


def bare(customer: str) -> str:
    """The id without its kind, as people know it. A device whose id equals a known id is taken for that customer's."""
    return customer[2:]


def ids_for(asked: str) -> tuple[str, ...]:
    """The ids that somebody may mean, best first: a userId, a device, `crm:17`, an address, or an id with its kind."""
    mail = (f"{PERSON}{EMAIL}:{hashed(asked)}",) if "@" in asked else ()
    whole = (asked,) if asked[:2] in (KNOWN, DEVICE, PERSON) else ()
    return KNOWN + asked, DEVICE + asked, PERSON + asked, *mail, *whole


def kind_of(id: str) -> str:
    """`u:`, `a:`, or `x:` with the kind of person's id.

    >>> kind_of("u:u1"), kind_of("x:crm:17:4")
    ('u:', 'x:crm')
    """
    return ":".join(id.split(":", 2)[:2]) if id.startswith(PERSON) else id[:2]


def shared_in(claims: Iterable[Claim], rules: Rules) -> dict[str, Micros]:
    """The ids that these claims join with more known users, or more ids of one kind of person, than may be; each with
    when that was known. Two users who each claim the other count once, from the first of the two."""
    joined: dict[tuple[str, str], dict[str, Micros]] = defaultdict(dict)

    def note(others: dict[str, Micros], other: str, known_at: Micros) -> None:
        others[other] = min(known_at, others.get(other, known_at))

    for claim in claims:
        if claim.owner.startswith(KNOWN):
            note(joined[claim.id, KNOWN], claim.owner, claim.known_at)
            if not claim.id.startswith(DEVICE):
                note(joined[claim.owner, kind_of(claim.id)], claim.id, claim.known_at)
    found = dict[str, Micros]()
    for (id, _), others in joined.items():
        if len(others) > rules.most_users:
            known_at = sorted(others.values())[rules.most_users]
            found[id] = min(known_at, found.get(id, known_at))
    return found


def is_shared(claim: Claim, shared: Collection[str]) -> bool:
    """Whether a claim is refused because what it joins is shared. A device stays its only user's, whoever that is."""
    if claim.id in shared:
        return True
    own_device = claim.id.startswith(DEVICE) and claim.owner.startswith(KNOWN)
    return claim.owner in shared and not own_device
