"""Who is who: which claims stand, that order does not matter, that a split undoes a join, and what was known when."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.claims import (
    DEFAULT,
    Claim,
    Rules,
    bare,
    claims_of,
    hashed,
    ids_for,
    own_id,
    split_event,
    split_of,
)
from models.journey.event import EARLIEST, Event, Micros
from models.journey.identity import Evidence, Owners, Resolved, cut, learn_all
from tests.models.journey.logs import LOGS


def event(
    kind: str, user: str | None, device: str | None, at: int, previous: str | None = None, **more: Any
) -> Event:  # fmt: skip
    told = {"received_at": at, "message_id": f"{kind}-{user}-{device}-{at}", **more}
    return Event(kind=kind, name="", user_id=user, anonymous_id=device, occurred_at=at, previous_id=previous, **told)


def mail(user: str | None, address: str, at: int, device: str | None = None) -> Event:
    return event("identify", user, device, at, properties={"email": address})


def refused(*events: Event, rules: Rules = DEFAULT) -> dict[tuple[str, str], str]:
    return dict(learn_all(events, rules).resolved.refused)


def test_an_event_with_both_ids_claims_the_device() -> None:
    assert claims_of(event("track", "u1", "d1", 3)) == [
        Claim("a:d1", "u:u1", "anonymousId", 3, 3, 3, "track-u1-d1-3")
    ]  # fmt: skip
    assert claims_of(event("track", None, "d1", 3)) == []
    assert claims_of(event("track", "u1", None, 3)) == []


def test_an_alias_claims_the_previous_id_and_a_device_where_it_names_one() -> None:
    known, device = event("alias", "new", "d1", 3, "old"), event("alias", "new", "d1", 3, "d1")
    assert [claim.id for one in (known, device) for claim in claims_of(one)] == ["u:old", "a:d1"]
    assert claims_of(event("alias", "new", None, 3, "new")) == []


def test_an_address_is_claimed_by_its_hash_however_it_is_written() -> None:
    first = mail("u1", " Ada@Example.org", 3)
    second = event("track", "u1", None, 3, context={"traits": {"email": "ada@example.ORG"}})
    assert {claim.id for one in (first, second) for claim in claims_of(one)} == {"x:email:" + hashed("ada@example.org")}
    assert claims_of(first, Rules(kinds=())) == []
    assert "Ada" not in repr(claims_of(first))


@pytest.mark.parametrize("value", [None, "", "  ", True, 3.5, ["a@b.c"], {"a": 1}, "x" * 300])
def test_what_is_no_id_claims_nothing(value: object) -> None:
    assert claims_of(event("identify", "u1", None, 3, properties={"email": value})) == []
    assert claims_of(event("track", "u1", None, 3, context={"externalIds": [{"type": "email", "id": value}]})) == []
    assert claims_of(event("track", "u1", None, 3, context={"externalIds": value, "traits": value})) == []


def test_external_ids_of_the_named_kinds_are_claimed_in_their_order() -> None:
    listed = [{"type": "crm", "id": 17, "collection": "users"}, {"type": "email", "id": "Ada@example.org"},
              {"type": "other", "id": "x"}, {"type": "crm", "id": "acme", "collection": "accounts"}]  # fmt: skip
    told = event("track", None, "d1", 3, context={"externalIds": listed})
    address = "x:email:" + hashed("ada@example.org")
    assert [claim.pair for claim in claims_of(told, Rules(("crm", "email")))] == [
        (address, "x:crm:17"), ("a:d1", "x:crm:17")]  # fmt: skip


def test_a_clock_that_runs_ahead_joins_nothing_before_its_time() -> None:
    [claim] = claims_of(Event("m", "identify", "", "u1", "d1", occurred_at=90, received_at=5))
    assert claim.known_at == 90


def test_an_event_belongs_to_its_known_id_before_its_device() -> None:
    assert own_id(event("track", "u1", "d1", 0)) == "u:u1"
    assert bare(own_id(event("track", "", "d1", 0))) == "d1"
    with pytest.raises(ValueError, match="neither userId nor anonymousId"):
        own_id(event("track", None, "", 0))


def test_a_tablet_of_a_few_stays_with_the_first() -> None:
    owners = learn_all([event("track", "u2", "tablet", 9), event("track", "u1", "tablet", 4)])
    assert owners.customer("a:tablet") == ("u:u1", 4)
    assert owners.resolved.refused == {("a:tablet", "u:u2"): "taken"}


def test_a_tablet_of_many_belongs_to_nobody_and_joins_nobody() -> None:
    log = [event("track", f"u{n}", "tablet", n) for n in range(4)]
    assert learn_all(log, Rules(most_users=4)).customer("a:tablet") == ("u:u0", 0)
    owners = learn_all(log, Rules(most_users=3))
    assert owners.customer("a:tablet") == ("a:tablet", EARLIEST)
    assert set(owners.resolved.refused.values()) == {"shared"}


def test_an_address_joins_who_uses_it_and_not_an_office() -> None:
    log = [mail("u1", "a@b.c", 4), mail("u2", "a@b.c", 9), mail(None, "a@b.c", 20, "phone")]
    owners = learn_all(log)
    assert [owners.customer(id) for id in ("u:u1", "u:u2", "a:phone")] == [
        ("u:u1", EARLIEST), ("u:u1", 9), ("u:u1", 20)]  # fmt: skip
    office = learn_all([mail(f"u{n}", "office@b.c", n) for n in range(6)])
    assert {office.customer(f"u:u{n}")[0] for n in range(6)} == {f"u:u{n}" for n in range(6)}


def test_a_call_centre_that_gathers_addresses_or_old_ids_joins_none_of_its_callers() -> None:
    calls = [mail("agent", f"{n}@b.c", 50 + n, "headset") for n in range(6)]
    homes = [mail(f"u{n}", f"{n}@b.c", n) for n in range(6)]
    owners = learn_all([*calls, *homes])
    assert {owners.customer(f"u:u{n}")[0] for n in range(6)} == {f"u:u{n}" for n in range(6)}
    assert owners.customer("a:headset") == ("u:agent", 50)

    aliases = learn_all([event("alias", "agent", None, n, f"u{n}") for n in range(6)])
    assert {aliases.customer(f"u:u{n}")[0] for n in range(6)} == {f"u:u{n}" for n in range(6)}


def test_a_chain_that_makes_too_many_users_one_is_cut_where_it_gets_too_long() -> None:
    log = [event("alias", f"u{n + 1}", None, n, f"u{n}") for n in range(4)]
    owners = learn_all(log, Rules(most_users=3))
    assert refused(*log, rules=Rules(most_users=3)) == {("u:u2", "u:u3"): "too_many_users"}
    assert [owners.customer(f"u:u{n}")[0] for n in range(5)] == ["u:u2"] * 3 + ["u:u4"] * 2


def test_a_chain_is_known_when_its_last_link_is() -> None:
    owners = learn_all([event("identify", "u1", "d1", 4), event("alias", "u9", None, 20, "u1")])
    assert owners.customer("a:d1") == ("u:u9", 20)
    assert owners.customer("u:stranger") == ("u:stranger", EARLIEST)


def test_two_aliases_that_point_at_each_other_close_no_circle() -> None:
    log = [event("alias", "b", None, 1, "a"), event("alias", "a", None, 2, "b")]
    owners = learn_all(log)
    assert owners.customer("u:a")[0] == owners.customer("u:b")[0] == "u:b"
    assert owners.resolved.refused == {("u:b", "u:a"): "circle"}


def test_a_claim_that_happened_first_takes_the_device_when_it_arrives_late() -> None:
    late = event("identify", "u1", "d1", 4, received_at=20)
    assert learn_all([event("identify", "u2", "d1", 9), late]).customer("a:d1") == ("u:u1", 20)


def test_what_a_split_gives_to_another_is_known_from_the_split_on() -> None:
    log = [event("identify", "u1", "d1", 4), event("identify", "u2", "d1", 9)]
    undone = split_event(("a:d1", "u:u1"), "s", 30, "Ada", "lent")
    assert learn_all([*log, undone]).customer("a:d1") == ("u:u2", 30)


def test_a_split_holds_against_claims_that_come_later() -> None:
    undone = split_event(("a:d1", "u:u1"), "s", 30, "Ada", "")
    log = [event("identify", "u1", "d1", 4), undone, event("identify", "u1", "d1", 40)]
    assert learn_all(log).customer("a:d1") == ("a:d1", EARLIEST)


@pytest.mark.parametrize("pair", [("a:d1", "u:u1"), ("u:old", "u:new"), ("x:crm:1:2", "u:u1"), ("a:d1", "x:crm:1"),
                                  ("x:email:ab", "x:crm:1")])  # fmt: skip
def test_a_split_is_an_event_that_says_what_it_undoes(pair: tuple[str, str]) -> None:
    found = split_of(split_event(pair, "m", 5, "Ada", "why"))
    assert found is not None
    assert (found.pair, found.known_at) == (pair, 5)


def test_a_split_whose_ids_were_erased_undoes_nothing() -> None:
    assert split_of(replace(split_event(("a:d1", "u:u1"), "m", 5, "Ada", ""), anonymous_id=None)) is None


def test_a_customer_is_asked_for_by_any_id() -> None:
    assert ids_for("crm:17") == ("u:crm:17", "a:crm:17", "x:crm:17")
    assert "x:email:" + hashed("ada@example.org") in ids_for("Ada@Example.org")
    assert "a:dev9" in ids_for("a:dev9")


USERS, DEVICES = st.sampled_from([f"u{n}" for n in range(5)]), st.sampled_from(["d1", "d2", "d3"])
MAILS = st.sampled_from(["a@b.c", "b@b.c", "c@b.c"])
RULES = st.builds(Rules, st.just(("email",)), st.integers(1, 4))


@st.composite
def told(draw: st.DrawFn) -> Event:
    """An event that says who somebody is; it may be received long after it happened."""
    kind = draw(st.sampled_from(("identify", "identify", "alias", "track")))
    user = draw(USERS if kind == "alias" else st.one_of(USERS, USERS, st.none()))
    at = draw(st.integers(0, 12))
    return Event(
        message_id=draw(st.uuids().map(str)), kind=kind, name="", user_id=user,
        anonymous_id=draw(DEVICES if user is None else st.one_of(DEVICES, st.none())), occurred_at=at,
        received_at=at + draw(st.sampled_from((0, 0, 3, 9))),
        properties=draw(st.one_of(st.just({}), MAILS.map(lambda one: {"email": one}))) if kind == "identify" else {},
        previous_id=draw(USERS) if kind == "alias" else None,
    )  # fmt: skip


TOLD = st.lists(told(), max_size=14)


def pairs_in(events: list[Event]) -> list[tuple[str, str]]:
    return sorted({claim.pair for one in events for claim in claims_of(one)})


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events, and splits of some of what they claim."""
    log = draw(TOLD)
    pairs = pairs_in(log)
    if not pairs:
        return log
    undone = draw(st.lists(st.sampled_from(pairs), max_size=3))
    at = draw(st.lists(st.integers(0, 25), min_size=len(undone), max_size=len(undone)))
    return [*log, *(split_event(pair, f"s{n}", at[n], "Ada", "") for n, pair in enumerate(undone))]


def names(owners: Owners) -> dict[str, str]:
    return {id: place.id for id, place in owners.resolved.places.items()}


@given(st.one_of(histories(), LOGS), RULES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(log: list[Event], rules: Rules, random: Random) -> None:
    log = list({one.message_id: one for one in log}.values())
    assert learn_all(log, rules) == learn_all(random.sample(log, len(log)), rules)


@given(TOLD, RULES, st.lists(st.integers(0, 40), min_size=14, max_size=14))
def test_customers_are_the_same_whenever_their_events_are_received(
    log: list[Event], rules: Rules, later: list[int]
) -> None:
    again = [replace(one, received_at=one.occurred_at + wait) for one, wait in zip(log, later, strict=False)]
    one, other = learn_all(log, rules), learn_all(again, rules)
    assert names(one) == names(other)
    assert one.resolved.refused == other.resolved.refused
    assert one.resolved.shared.keys() == other.resolved.shared.keys()


@given(histories(), RULES)
def test_no_customer_is_more_known_users_than_may_be(log: list[Event], rules: Rules) -> None:
    places = learn_all(log, rules).resolved.places
    for surviving in {place.id for place in places.values()}:
        mine = [id for id in places if places[id].id == surviving]
        assert sum(id.startswith("u:") for id in mine) <= rules.most_users
        assert places[surviving].id == surviving


@given(histories(), RULES, st.integers(0, 5), st.integers(0, 5))
def test_join_then_split_is_the_identity(log: list[Event], rules: Rules, one: int, other: int) -> None:
    """Customers, names and what was known when; the latter where the join took nothing from anybody meanwhile."""
    before = learn_all(log, rules)
    join = event("alias", f"u{one}", None, 100, f"u{other}") if one % 2 else event("identify", f"u{one}", "d1", 100)
    fresh = [pair for pair in pairs_in([join]) if pair not in pairs_in(log)]
    joined = learn_all([*log, join], rules)
    undone = learn_all([*log, join, *(split_event(pair, "s" + pair[0], 200, "Ada", "") for pair in fresh)], rules)
    if not fresh:
        return
    for id, place in before.resolved.places.items():
        assert undone.resolved.places[id].id == place.id
        if before.resolved.refused.keys() == joined.resolved.refused.keys() - set(fresh):
            assert undone.resolved.places[id].known_at == place.known_at
    assert {pair: why for pair, why in undone.resolved.refused.items() if pair not in fresh} == before.resolved.refused


def at(log: list[Event], moment: Micros, rules: Rules) -> Resolved:
    return learn_all([one for one in log if max(one.received_at, one.occurred_at) <= moment], rules).resolved


@given(histories(), RULES, st.integers(0, 30))
def test_nothing_that_is_known_later_adds_to_what_is_seen_earlier(log: list[Event], rules: Rules, then: int) -> None:
    """What is seen in a journey as of then, whoever asked for its surviving id saw then."""
    now, before = learn_all(log, rules).resolved.places, at(log, then, rules).places
    for id, place in now.items():
        if place.known_at <= then and id != place.id:
            assert id in before
            assert place.id in before
            assert before[id].id == before[place.id].id


@given(histories(), RULES)
def test_deciding_around_what_changed_is_deciding_all_of_it(log: list[Event], rules: Rules) -> None:
    """Claims that do not hang together do not touch each other: each region alone gives what all give."""
    evidence = Evidence()
    for one in log:
        for claim in claims_of(one, rules):
            evidence.learn(claim)
        if split := split_of(one):
            evidence.undo(split)
    whole = evidence.resolve(rules)
    for start in evidence.claims:
        near, size = set(start) - whole.shared.keys(), -1
        while len(near) != size:
            size = len(near)
            near |= {id for pair in evidence.claims if near & set(pair) for id in pair if id not in whole.shared}
        around = {pair: claim for pair, claim in evidence.claims.items() if near & set(pair)}
        alone = Evidence(around, evidence.splits).resolve(rules, whole.shared)
        for id in near:
            assert alone.places.get(id, whole.places[id]) == whole.places[id]


@given(histories(), RULES)
def test_cutting_an_id_off_takes_it_from_the_customer(log: list[Event], rules: Rules) -> None:
    evidence = learn_all(log, rules).resolved
    claims = pairs_in(log)
    for id, place in evidence.places.items():
        if id == place.id:
            continue
        standing = [pair for pair in claims if pair not in evidence.refused and evidence.places[pair[0]].id == place.id]
        pairs = cut(standing, place.id, id)
        assert pairs
        apart = [split_event(pair, f"cut{n}", 300, "Ada", "") for n, pair in enumerate(pairs)]
        left = [pair for pair in standing if pair not in pairs]
        reached = {place.id}
        for _ in left:
            reached |= {one for pair in left if reached & set(pair) for one in pair}
        assert id not in reached
        assert len(apart) == len(pairs)


def test_two_users_who_each_claim_the_other_count_once_and_from_the_first_time() -> None:
    """Else when an id was known to be shared would depend on the order in which its claims are gone through."""
    crowd = [event("alias", f"u{i}", None, 10 + i, "hub") for i in range(6)]
    log = [*crowd, event("alias", "hub", None, 30, "u0")]
    shared = [learn_all(one).resolved.shared for one in (log, log[::-1])]
    assert shared[0] == shared[1] == {"u:hub": 15}
