"""Joins: the first claim stands, chains are followed, circles are refused, and nothing is joined before its time."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import EARLIEST, Event
from models.journey.identity import Claim, Owners, bare, claim_of, follow, learn_all, own_id
from tests.models.journey.logs import LOGS


def event(kind: str, user: str | None, device: str | None, at: int, previous: str | None = None) -> Event:
    return Event(f"{kind}-{user}-{at}", kind, "", user, device, at, at, previous_id=previous)


def test_an_event_with_both_ids_joins_the_device() -> None:
    assert claim_of(event("track", "u1", "d1", 3)) == Claim("a:d1", "u:u1", 3, "track-u1-3")
    assert claim_of(event("track", None, "d1", 3)) is None
    assert claim_of(event("track", "u1", None, 3)) is None


def test_an_alias_joins_the_previous_id_and_a_device_where_it_names_one() -> None:
    known, device = event("alias", "new", "d1", 3, "old"), event("alias", "new", "d1", 3, "d1")
    assert [claim.id for claim in map(claim_of, (known, device)) if claim] == ["u:old", "a:d1"]
    assert claim_of(event("alias", "new", None, 3, "new")) is None


def test_a_clock_that_runs_ahead_joins_nothing_before_its_time() -> None:
    claim = claim_of(Event("m", "identify", "", "u1", "d1", occurred_at=90, received_at=5))
    assert claim is not None
    assert claim.known_at == 90


def test_an_event_belongs_to_its_known_id_before_its_device() -> None:
    assert own_id(event("track", "u1", "d1", 0)) == "u:u1"
    assert bare(own_id(event("track", "", "d1", 0))) == "d1"
    with pytest.raises(ValueError, match="neither userId nor anonymousId"):
        own_id(event("track", None, "", 0))


def test_a_shared_tablet_does_not_hand_on_the_past_of_the_first_customer() -> None:
    owners = learn_all([event("track", "u2", "tablet", 9), event("track", "u1", "tablet", 4)])
    assert owners.customer("a:tablet") == ("u:u1", 4)


def test_a_chain_is_known_when_its_last_link_is() -> None:
    owners = learn_all([event("identify", "u1", "d1", 4), event("alias", "u9", None, 20, "u1")])
    assert owners.customer("a:d1") == ("u:u9", 20)
    assert owners.customer("u:stranger") == ("u:stranger", EARLIEST)


def test_two_aliases_that_point_at_each_other_close_no_circle() -> None:
    owners = learn_all([event("alias", "b", None, 1, "a"), event("alias", "a", None, 2, "b")])
    assert owners.customer("u:a")[0] == owners.customer("u:b")[0] == "u:b"
    assert not owners.learn(Claim("u:b", "u:b", 3, "m"))


def test_a_damaged_mapping_with_a_circle_ends() -> None:
    circle = {"u:a": Claim("u:a", "u:b", 1, "m1"), "u:b": Claim("u:b", "u:a", 2, "m2")}
    assert follow("u:a", circle)[1] == 2


@given(LOGS, st.randoms(use_true_random=False))
def test_joins_do_not_depend_on_the_order_of_arrival(log: list[Event], random: Random) -> None:
    log = list({one.message_id: one for one in log}.values())
    shuffled = random.sample(log, len(log))
    assert learn_all(log).claims == learn_all(shuffled).claims


@given(LOGS)
def test_following_any_id_ends_at_an_id_that_nothing_claims(log: list[Event]) -> None:
    owners: Owners = learn_all(log)
    assert all(owners.customer(id)[0] not in owners.claims for id in owners.claims)
