"""Who is who: which of the claims that events make stand, hence which ids are one customer, and from when we knew.

**Which claims stand**, of all that are there and were not undone by a split:

1. *shared*: an id that more than `most_users` known users claim belongs to none of them (a tablet in a shop, the
   address of an office). A known user that gathers more than so many others, or so many ids of one kind, is joined with
   none of them (a call centre's login); devices that are its own stay its own.
2. *taken*: a device and an old id belong to one owner, the first to claim it; a known user goes before a person's id.
   An id of a person joins all who claim it.
3. *circle*, *too_many_users*: claims that join users are gone through from the first to the last that happened. One
   that would close a circle of aliases, or make a customer of more than `most_users` known users, is refused.

First is what is smaller by (occurred_at, owner, id), and nothing else is looked at: so the same events give the same
customers with the same names **in whatever order they arrive and whenever they are received**. A customer is named by
the known user whom no alias gives away; of several by the one that was joined first.

**What is known when.** `known_at` is from when an id has been with the surviving one without a break (later, never
earlier, where sharing makes that hard to tell); it is what depends on when events were received. So whatever is seen
in a journey `as_of` some moment was seen then by who asked for its surviving id, however much was learned since: a
claim that is found shared, refused or undone later takes events away, from earlier moments too, and adds none to them.
A split after a join gives back what was before the join, with known_at, unless the join had taken an id from another.

Pure: a function from a set of claims and splits to places. Folding applies it to the claims around what has changed,
assembling to all of them, with equal results.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from types import MappingProxyType

from models.journey.claims import (
    DEFAULT,
    DEVICE,
    KNOWN,
    PERSON,
    Claim,
    Pair,
    Rules,
    Split,
    claims_of,
    is_shared,
    shared_in,
    split_of,
)
from models.journey.event import EARLIEST, Event, Micros

SPLIT_UP, SHARED, TAKEN, CIRCLE, TOO_MANY_USERS = "split", "shared", "taken", "circle", "too_many_users"


_NOTHING: Mapping[str, Micros] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Place:
    """The surviving id behind an id, and from when on that was known (EARLIEST where nothing was joined)."""

    id: str
    known_at: Micros


@dataclass(frozen=True)
class Resolved:
    """What became of some claims: where each id belongs, why a claim does not stand, and which ids are shared."""

    places: Mapping[str, Place]
    refused: Mapping[Pair, str]
    shared: Mapping[str, Micros]
    """With the moment from which it was known."""


@dataclass
class Evidence:
    """The claims and splits so far, one a pair; learning them in any order, or twice, gives the same.

    >>> evidence = Evidence()
    >>> for at, user in ((9, "u:u2"), (6, "u:u1")):
    ...     evidence.learn(Claim("a:dev9", user, "anonymousId", at, at, at, "m"))
    >>> evidence.resolve().places["a:dev9"]
    Place(id='u:u1', known_at=6)
    """

    claims: dict[Pair, Claim] = field(default_factory=dict)
    splits: dict[Pair, Split] = field(default_factory=dict)

    def learn(self, claim: Claim) -> None:
        known = self.claims.get(claim.pair)
        self.claims[claim.pair] = claim if known is None else known.both(claim)

    def undo(self, split: Split) -> None:
        known = self.splits.get(split.pair, split)
        self.splits[split.pair] = min(known, split, key=lambda one: (one.known_at, one.message_id))

    def resolve(self, rules: Rules = DEFAULT, shared: Mapping[str, Micros] = _NOTHING) -> Resolved:
        """Decide. `shared` names ids that are known to be shared, of whose claims not all are here."""
        given, splits = list(self.claims.values()), self.splits
        live = [claim for claim in given if claim.pair not in splits] if splits else given
        known = {**shared_in(live, rules), **shared}
        refused = {claim.pair: SPLIT_UP for claim in given if claim.pair in splits}
        refused |= {claim.pair: SHARED for claim in live if is_shared(claim, known)}
        places = {id: Place(id, EARLIEST) for claim in given for id in claim.pair}
        before = _Before.of(given, splits, known, rules)
        for region in _regions([claim for claim in given if not is_shared(claim, known)] if known else given):
            since, why = _settle(region, splits, rules, before)
            refused |= why
            places |= _places(since)
        return Resolved(places, refused, known)


@dataclass(frozen=True)
class Owners:
    """Where each id of a log belongs."""

    resolved: Resolved

    def customer(self, id: str) -> tuple[str, Micros]:
        """The surviving id behind `id`, and the moment from which we knew."""
        place = self.resolved.places.get(id)
        return (place.id, place.known_at) if place else (id, EARLIEST)


def learn_all(events: Iterable[Event], rules: Rules = DEFAULT) -> Owners:
    """Every claim and split in a log, in whatever order."""
    evidence = Evidence()
    for event in events:
        for claim in claims_of(event, rules):
            evidence.learn(claim)
        if split := split_of(event):
            evidence.undo(split)
    return Owners(evidence.resolve(rules))


def cut(standing: Iterable[Pair], surviving: str, id: str) -> list[Pair]:
    """The joins to undo so that `id` leaves the customer of `surviving`, with all that is there only through it.

    >>> cut([("a:d", "u:old"), ("u:old", "u:new"), ("a:e", "u:new")], "u:new", "u:old")
    [('u:old', 'u:new')]
    """
    near = defaultdict(list)
    for pair in standing:
        near[pair[0]].append(pair)
        near[pair[1]].append(pair)
    reached, frontier = {surviving}, [surviving]
    while frontier:
        for pair in near[frontier.pop()]:
            new = set(pair) - reached - {id}
            reached |= new
            frontier += new
    return sorted(pair for pair in near[id] if set(pair) & reached)


class _Groups:
    """Ids that are one, and how many known users each group holds (union by size)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._users: dict[str, int] = {}

    def find(self, id: str) -> str:
        root = self._parents.setdefault(id, id)
        if root == id:
            return id
        while (above := self._parents[root]) != root:
            root = above
        while id != root:
            self._parents[id], id = root, self._parents[id]
        return root

    def users(self, root: str) -> int:
        return self._users.get(root, int(root.startswith(KNOWN)))

    def join(self, one: str, other: str) -> None:
        large, small = self.find(one), self.find(other)
        if large == small:
            return
        sizes = self._sizes.get(large, 1), self._sizes.get(small, 1)
        if sizes[0] < sizes[1]:
            large, small = small, large
        self._users[large] = self.users(large) + self.users(small)
        self._sizes[large] = sum(sizes)
        self._parents[small] = large


def _regions(claims: Sequence[Claim]) -> list[list[Claim]]:
    """Claims that can have to do with each other."""
    groups = _Groups()
    for claim in claims:
        groups.join(claim.id, claim.owner)
    found: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        found[groups.find(claim.id)].append(claim)
    return list(found.values())


@dataclass(frozen=True)
class _Before:
    """From when claims on some ids could stand at all: earlier, sharing may have kept them from it."""

    cleared: Mapping[str, Micros]
    """Ids that were shared until a split."""
    freed: Mapping[str, Micros]
    """Ids that were one with others through an id that turned out to be shared, and so counted their users too."""

    @classmethod
    def of(
        cls, given: Sequence[Claim], splits: Mapping[Pair, Split], shared: Mapping[str, Micros], rules: Rules
    ) -> _Before:
        cleared: dict[str, Micros] = {}
        once = shared_in(given, rules).keys() - shared.keys() if splits else frozenset[str]()
        for pair in {claim.pair for claim in given} & splits.keys() if once else ():
            end = splits[pair].known_at
            for id in once.intersection(pair, shared_in(_just_before(end, given, splits), rules)):
                cleared[id] = max(end, cleared.get(id, EARLIEST))
        freed: dict[str, Micros] = {}
        for claim in given if shared else ():
            if not claim.id.startswith(DEVICE) and is_shared(claim, shared):
                at = max(shared.get(id, EARLIEST) for id in claim.pair)
                freed |= {id: max(at, freed.get(id, at)) for id in claim.pair}
        return cls(cleared, freed)

    def held_back(self, since: Mapping[Claim, Micros], together: _Groups) -> dict[Claim, Micros]:
        """The same claims, none standing before it could."""
        if not self.cleared and not self.freed:
            return dict(since)
        freed: dict[str, Micros] = {}
        for id in {id for claim in since for id in claim.pair} & self.freed.keys():
            root = together.find(id)
            freed[root] = max(self.freed[id], freed.get(root, EARLIEST))
        found = {}
        for claim, at in since.items():
            merges = not claim.id.startswith(DEVICE)
            ids = claim.pair if merges or not claim.owner.startswith(KNOWN) else (claim.id,)
            cleared = max(self.cleared.get(id, EARLIEST) for id in ids)
            found[claim] = max(at, cleared, freed.get(together.find(claim.id), EARLIEST) if merges else EARLIEST)
        return found


def _just_before(end: Micros, claims: Iterable[Claim], splits: Mapping[Pair, Split]) -> list[Claim]:
    """The claims that were known and not undone when something was undone at `end`."""
    return [
        claim
        for claim in claims
        if claim.known_at <= end and (claim.pair not in splits or splits[claim.pair].known_at >= end)
    ]


def _settle(
    region: Sequence[Claim], splits: Mapping[Pair, Split], rules: Rules, before: _Before
) -> tuple[dict[Claim, Micros], dict[Pair, str]]:
    """Which claims stand, since when without a break, and why the others do not.

    Where all stand, each has stood since it was known. Else we look at each moment at which something changed; a device
    with a single claim changes nothing for others.
    """
    live = [claim for claim in region if claim.pair not in splits]
    standing, refused = _standing(live, rules)
    since = {claim: claim.known_at for claim in standing}
    if not refused and len(live) == len(region) and not before.cleared and not before.freed:
        return since, refused
    together = _Groups()
    for claim in live:
        together.join(claim.id, claim.owner)
    contested = {together.find(id) for id, _ in refused}
    count = Counter(claim.id for claim in region)
    core = [claim for claim in region
            if count[claim.id] > 1 or not claim.id.startswith(DEVICE) or claim.pair in splits]  # fmt: skip
    ends = {claim: splits[claim.pair].known_at for claim in region if claim.pair in splits}
    begins = {
        claim: claim.told_at if claim in ends or together.find(claim.id) in contested else claim.known_at
        for claim in core
    }
    run: dict[Claim, Micros] = {}
    for moment in sorted({*begins.values(), *ends.values()}) if refused or ends else ():
        then = [claim for claim in core if begins[claim] <= moment < ends.get(claim, math.inf)]
        run = {claim: run.get(claim, moment) for claim in _standing(then, rules)[0]}
    since |= {claim: run[claim] for claim in standing if claim in run}
    return before.held_back(since, together), refused


def _standing(claims: Sequence[Claim], rules: Rules) -> tuple[list[Claim], dict[Pair, str]]:
    """The claims that stand where these are all that is known, and why the others do not."""
    if len(claims) == 1 and claims[0].id.startswith(DEVICE):
        return [claims[0]], {}
    shared, groups = shared_in(claims, rules), _Groups()
    owners: dict[str, str] = {}
    standing, refused = [], {}
    for claim in sorted(claims, key=_order):
        single = not claim.id.startswith(PERSON)
        if is_shared(claim, shared):
            why = SHARED
        elif single and claim.id in owners:
            why = TAKEN
        else:
            why = "" if claim.id.startswith(DEVICE) else _objection(claim, owners, groups, rules)
        if why:
            refused[claim.pair] = why
            continue
        standing.append(claim)
        groups.join(claim.id, claim.owner)
        if single:
            owners[claim.id] = claim.owner
    return standing, refused


def _order(claim: Claim) -> tuple[bool, bool, Micros, str, str]:
    """Users are joined before devices follow; a device goes to a user before it goes to a person's id."""
    device = claim.id.startswith(DEVICE)
    return device, device and not claim.owner.startswith(KNOWN), claim.occurred_at, claim.owner, claim.id


def _objection(claim: Claim, owners: Mapping[str, str], groups: _Groups, rules: Rules) -> str:
    """Why a claim that joins users cannot stand."""
    if claim.id.startswith(KNOWN):
        above: str | None = claim.owner
        while above is not None:
            if above == claim.id:
                return CIRCLE
            above = owners.get(above)
    one, other = groups.find(claim.id), groups.find(claim.owner)
    return TOO_MANY_USERS if one != other and groups.users(one) + groups.users(other) > rules.most_users else ""


def _places(since: Mapping[Claim, Micros]) -> dict[str, Place]:
    """Where each id of some standing claims belongs: at each step, what is nearest to the surviving id in time."""
    near: dict[str, list[tuple[Micros, str]]] = defaultdict(list)
    for claim, at in since.items():
        near[claim.id].append((at, claim.owner))
        near[claim.owner].append((at, claim.id))
    places: dict[str, Place] = {}
    for surviving in _survivors(list(since)):
        waiting = [(EARLIEST, surviving)]
        while waiting:
            known_at, id = heappop(waiting)
            if id in places:
                continue
            places[id] = Place(surviving, known_at)
            for at, other in near[id]:
                if other not in places:
                    heappush(waiting, (max(known_at, at), other))
    return places


def _survivors(standing: Sequence[Claim]) -> list[str]:
    """The id that names each customer."""
    groups, first = _Groups(), dict[str, Micros]()
    given = set[str]()
    for claim in standing:
        groups.join(claim.id, claim.owner)
        merges = not claim.id.startswith(DEVICE)
        for id in claim.pair:
            before = first.get(id, math.inf)
            first[id] = min(before, claim.occurred_at) if merges else before  # type: ignore[assignment]
        if not claim.id.startswith(PERSON) or not claim.owner.startswith(KNOWN):
            given.add(claim.id)
    best: dict[str, tuple[bool, bool, float, str]] = {}
    for id, at in first.items():
        rank = (not id.startswith(KNOWN), id in given, float(at), id)
        root = groups.find(id)
        best[root] = min(best.get(root, rank), rank)
    return [rank[-1] for rank in best.values()]
