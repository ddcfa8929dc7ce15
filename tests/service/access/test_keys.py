"""Keys: shown once, kept as a hash, scoped, revoked at once."""

from contextlib import closing

import pytest
from sqlalchemy import select

from service.access import keys, store
from service.errors import Forbidden, Invalid, NotFound, Unauthorized
from tests.service.fakes import House


def test_a_key_is_verified_and_only_its_hash_is_stored(house: House) -> None:
    made, whole = keys.create(house.state.service, "site", ["read", "ingest", "read"], house.clock())

    assert whole.startswith(f"ji_{made.key_id}_")
    found = keys.verify(house.state.service, whole, house.clock())
    assert found is not None
    assert (found.name, sorted(found.scopes)) == ("site", ["ingest", "read"])
    with house.state.service.read() as connection:
        (row,) = connection.execute(select(store.keys)).all()
    assert whole.rpartition("_")[2] not in str(tuple(row))


@pytest.mark.parametrize("change", ["last", "id", "empty", "prefix", "newline", "case"])
def test_nearly_the_key_is_no_key(house: House, change: str) -> None:
    made, whole = keys.create(house.state.service, "site", ["read"], house.clock())
    wrong = {
        "last": whole[:-1] + ("0" if whole[-1] != "0" else "1"),
        "id": whole.replace(made.key_id, "0" * 12),
        "empty": "",
        "prefix": whole[3:],
        "newline": whole + "\n",
        "case": whole.upper(),
    }[change]

    assert keys.verify(house.state.service, wrong, house.clock()) is None


def test_a_revoked_key_is_unknown_from_then_on_but_stays_in_the_list(house: House) -> None:
    made, whole = keys.create(house.state.service, "site", ["read"], house.clock())
    keys.revoke(house.state.service, made.key_id, house.clock())

    assert keys.verify(house.state.service, whole, house.clock()) is None
    assert [key.revoked_at for key in keys.all_keys(house.state.service)] == [house.clock.at]
    with pytest.raises(NotFound):
        keys.revoke(house.state.service, made.key_id, house.clock())


def test_last_used_is_noted_to_the_minute(house: House) -> None:
    _, whole = keys.create(house.state.service, "site", ["read"], house.clock())
    first = house.clock.at
    keys.verify(house.state.service, whole, first)
    house.clock.forward(59)
    keys.verify(house.state.service, whole, house.clock())
    assert keys.all_keys(house.state.service)[0].last_used_at == first
    house.clock.forward(1)
    keys.verify(house.state.service, whole, house.clock())
    assert keys.all_keys(house.state.service)[0].last_used_at == house.clock.at


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("x" * 81, ["read"]), ("a", []), ("a", ["fly"])])
def test_a_key_needs_a_name_and_known_scopes(house: House, name: str, scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        keys.create(house.state.service, name, scopes, house.clock())


def test_any_one_of_the_scopes_asked_for_is_enough_and_no_scope_implies_another(house: House) -> None:
    _, whole = keys.create(house.state.service, "site", ["admin"], house.clock())

    assert keys.authorize(house.state, [whole], "read", "admin").name == "site"
    with pytest.raises(Forbidden):
        keys.authorize(house.state, [whole], "read")
    with pytest.raises(Unauthorized):
        keys.authorize(house.state, [], "read")


def test_of_many_who_use_a_key_at_the_same_time_one_notes_it(house: House) -> None:
    _, whole = keys.create(house.state.service, "tool", ["read"], house.clock())
    with closing(keys.KeyRing(house.state.service)) as ring:
        key, now = ring.find(whole), house.clock()
        assert key is not None
        assert [ring.use_is_news(key, now) for _ in range(3)] == [True, False, False]
        assert [ring.use_is_news(key, now + keys.USED_EVERY) for _ in range(2)] == [True, False]
