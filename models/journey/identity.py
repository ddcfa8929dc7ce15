"""Who an event belongs to: one deterministic rule that joins a device (anonymousId) or an old id to a known customer.

Pure functions over a mapping from id to owner; keeping that mapping (in memory, in a table) is the caller's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from models.journey.event import EARLIEST, Event, Micros

_DEVICE, _KNOWN = "a:", "u:"
_LONGEST_CHAIN = 32


@dataclass(frozen=True, slots=True)
class Claim:
    """`id` belongs to `owner` from when we learned of it. Ids carry their kind: `a:` a device, `u:` a known id."""

    id: str
    owner: str
    known_at: Micros
    message_id: str


def claim_of(event: Event) -> Claim | None:
    """What an event says of identity: both ids together join the device; an alias joins the previous id.

    The previous id of an alias is a known id, unless the event itself says that it is the device's. A claim is known
    once its event was received and has happened: a clock that runs ahead joins nothing before its time.

    >>> claim_of(Event("m1", "identify", "", "u1", "dev9", 5, 6))
    Claim(id='a:dev9', owner='u:u1', known_at=6, message_id='m1')
    """
    if not event.user_id:
        return None
    if event.kind == "alias" and event.previous_id not in (None, "", event.user_id, event.anonymous_id):
        id = f"{_KNOWN}{event.previous_id}"
    elif event.anonymous_id:
        id = _DEVICE + event.anonymous_id
    else:
        return None
    return Claim(id, _KNOWN + event.user_id, max(event.received_at, event.occurred_at), event.message_id)


def own_id(event: Event) -> str:
    """The id that the event itself carries, with its kind; a known id before a device."""
    if event.user_id:
        return _KNOWN + event.user_id
    if event.anonymous_id:
        return _DEVICE + event.anonymous_id
    raise ValueError(f"event {event.message_id!r} has neither userId nor anonymousId; send at least one")


def bare(customer: str) -> str:
    """The id without its kind, as people know it. A device whose id equals a known id is taken for that customer's."""
    return customer[2:]


@dataclass
class Owners:
    """The joins so far. The first claim on an id stands: a shared tablet does not hand one person's past to the next.

    >>> owners = Owners()
    >>> owners.learn(Claim("a:dev9", "u:u1", 6, "m1")), owners.learn(Claim("a:dev9", "u:u2", 9, "m2"))
    (True, False)
    >>> owners.customer("a:dev9")
    ('u:u1', 6)
    """

    claims: dict[str, Claim] = field(default_factory=dict)

    def learn(self, claim: Claim) -> bool:
        """Keep a claim unless the id is taken or it would close a circle; says whether it was kept."""
        if claim.id in self.claims or self.customer(claim.owner)[0] == claim.id:
            return False
        self.claims[claim.id] = claim
        return True

    def customer(self, id: str) -> tuple[str, Micros]:
        """The surviving id behind `id`, and the moment from which we knew (EARLIEST where nothing was joined)."""
        return follow(id, self.claims)


def follow(id: str, claims: Mapping[str, Claim]) -> tuple[str, Micros]:
    """Walk claims to the surviving id; an alias may itself be aliased later."""
    known_at = EARLIEST
    for _ in range(_LONGEST_CHAIN):
        claim = claims.get(id)
        if claim is None:
            break
        id, known_at = claim.owner, max(known_at, claim.known_at)
    return id, known_at


def learn_all(events: Iterable[Event]) -> Owners:
    """Every claim in a log, in the order in which we learned of it."""
    claims = [claim for claim in map(claim_of, events) if claim is not None]
    owners = Owners()
    for claim in sorted(claims, key=lambda claim: (claim.known_at, claim.message_id)):
        owners.learn(claim)
    return owners
