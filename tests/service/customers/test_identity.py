"""Who a customer is, over HTTP: by any id, with the evidence of each join; and a split gives back what a join took."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from models.journey.assembly import assemble
from models.journey.claims import Rules, hashed, split_event
from models.journey.eventlog import read_events, read_rules
from service.customers import store as customers
from service.events import projector, store
from service.events.folded import feedback, identities, touchpoints
from service.events.joins import joins, splits
from service.export import export
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track

PAGE = {"type": "page", "anonymousId": "dev", "messageId": "p1", "timestamp": "2026-11-20T09:00:00Z"}
JOIN = {"type": "identify", "anonymousId": "dev", "userId": "c1", "messageId": "i1"}


def rows(house: House) -> dict[str, list[tuple[Any, ...]]]:
    with house.state.service.read() as connection:
        tables = (identities, joins, splits, touchpoints, feedback)
        return {table.name: sorted(map(tuple, connection.execute(select(table))), key=repr) for table in tables}


def identity(house: House, id: str) -> dict[str, Any]:
    answer = house.client.get(f"/v1/customers/{id}/identity", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def split(house: House, customer: str, id: str, status: int = 200, **more: Any) -> dict[str, Any]:
    path = f"/v1/customers/{customer}/split"
    answer = house.client.post(path, json={"id": id, **more}, headers=house.key("admin"))
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def lengths(house: House, *names: str) -> list[int]:
    with house.state.service.read() as connection:
        return list(customers.journeys_of(connection, names).lengths)


def test_a_customer_is_told_by_any_id_with_the_evidence_of_each_join(house: House) -> None:
    house.batch(PAGE)
    house.clock.forward(60)
    house.batch({**JOIN, "traits": {"email": "Ada@Example.org"}})
    address = "email:" + hashed("ada@example.org")

    for asked in ("c1", "dev", "ada@example.org", address, "a:dev"):
        told = identity(house, asked)
        assert told["customer_id"] == "c1"
        assert house.insight(asked)["customer_id"] == "c1"
    assert {one["id"]: one["kind"] for one in told["ids"]} == {
        "u:c1": "userId", "a:dev": "anonymousId", f"x:{address}": "email"}  # fmt: skip
    assert {one["id"]: (one["owner"], one["rule"], one["message_id"], one["known_at"]) for one in told["joins"]} == {
        "a:dev": ("u:c1", "anonymousId", "i1", "2026-11-21T12:01:00Z"),
        f"x:{address}": ("u:c1", "email", "i1", "2026-11-21T12:01:00Z"),
    }
    assert "example.org" not in str(told).lower()


def test_an_address_joins_who_was_known_under_another_user(house: House) -> None:
    house.batch(track("Product Viewed", customer="shop"), track("Product Viewed", customer="crm", messageId="m2"))
    for customer in ("shop", "crm"):
        house.clock.forward(1)
        house.batch({"type": "identify", "userId": customer, "traits": {"email": "ada@example.org"}})
    projector.fold_all(house.state)
    assert identity(house, "crm")["customer_id"] == "shop"
    assert lengths(house, "shop", "crm") == [2, 0]


def test_a_setting_says_which_kinds_join(tmp_path: Path) -> None:
    told = {"type": "identify", "userId": "c1", "traits": {"email": "ada@example.org"},
            "context": {"externalIds": [{"type": "crm", "id": "17"}]}}  # fmt: skip
    with open_house(tmp_path, identity_kinds="crm") as house:
        house.batch(told)
        projector.fold_all(house.state)
        assert house.state.settings.identity == Rules(("crm",), 5)
        assert [one["id"] for one in identity(house, "crm:17")["ids"]] == ["u:c1", "x:crm:17"]


def test_a_tablet_of_many_is_refused_reported_and_counted(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "tablet"})
    for number in range(6):
        house.batch({"type": "identify", "anonymousId": "tablet", "userId": f"c{number}"})
    projector.fold_all(house.state)

    told = identity(house, "tablet")
    assert (told["customer_id"], told["ids"][0]["shared_at"]) == ("tablet", "2026-11-21T12:00:00.000006Z")
    assert {one["reason"] for one in told["refused"]} == {"shared"}
    assert len(told["refused"]) == 6
    assert identity(house, "c3")["refused"][0]["id"] == "a:tablet"
    assert lengths(house, "c0", "tablet") == [0, 1]
    assert 'journey_joins_refused{reason="shared"} 6.0' in house.client.get("/metrics", headers=house.key("admin")).text


def test_a_split_gives_back_what_the_join_took_and_is_in_the_log(house: House) -> None:
    house.batch(PAGE, track("Product Viewed"))
    house.worker.run_until_idle()
    before = rows(house)
    house.clock.forward(60)
    house.batch(JOIN)
    house.worker.run_until_idle()
    assert lengths(house, "c1", "dev") == [2, 0]

    house.clock.forward(60)
    told = split(house, "dev", "dev", reason="a friend's phone", by="Ada")
    assert told["undone"] == [{"id": "a:dev", "owner": "u:c1"}]
    assert (told["customer"]["customer_id"], told["split_off"]["customer_id"]) == ("c1", "dev")
    assert [(one["by"], one["reason"]) for one in told["customer"]["splits"]] == [("Ada", "a friend's phone")]
    assert told["customer"]["refused"] == []
    after = rows(house)
    for table in ("identities", "touchpoints", "feedback"):
        assert after[table] == before[table]
    rebuild(house.state)
    assert rows(house) == after

    house.worker.run_until_idle()
    assert [house.insight(one)["journey"]["touchpoints"] for one in ("c1", "dev")] == [1, 1]
    house.batch({**JOIN, "messageId": "i2"})
    projector.fold_all(house.state)
    assert lengths(house, "c1", "dev") == [1, 1]


def test_feelings_go_with_their_words_and_verdicts_stay(house: House) -> None:
    say = {"channel": "chat", "said_at": "2026-11-21T11:00:00Z"}
    for id, told in (("f1", {"customer_id": "old"}), ("f2", {"customer_id": "new"})):
        body = {"id": id, "text": f"I am angry about {id}", **say, **told}
        assert house.client.post("/v1/feedback", json=body, headers=house.key("ingest")).status_code == 200
    house.worker.run_until_idle()
    for _ in range(2):
        review = house.key("review")
        case = house.client.post("/v1/reviews/claim", headers=review, json={}).json()["case"]
        path = f"/v1/reviews/{case['conclusion_id']}/verdict"
        assert house.client.post(path, headers=review, json={"answer": "negative"}).status_code == 200
    house.batch({"type": "alias", "previousId": "old", "userId": "new"})
    house.worker.run_until_idle()
    assert house.insight("old")["customer_id"] == "new"

    house.clock.forward(5)
    assert split(house, "new", "old")["split_off"]["customer_id"] == "old"
    house.worker.run_until_idle()
    for customer, subject in (("old", "f1"), ("new", "f2")):
        feeling = house.insight(customer)["feeling"]
        assert (feeling["feedback_id"], feeling["answer"], feeling["decided_by"]) == (subject, "negative", "person")
    with house.state.service.read() as connection:
        found = connection.exec_driver_sql("SELECT subject, customer_id FROM conclusions WHERE superseded_at IS NULL")
        assert {row.subject: row.customer_id for row in found} == {"f1": "old", "f2": "new"}


def test_a_split_takes_along_what_is_there_only_through_it(house: House) -> None:
    house.batch(PAGE, {"type": "identify", "anonymousId": "dev", "userId": "old"})
    house.batch({"type": "alias", "previousId": "old", "userId": "new"}, track("Product Viewed", customer="new"))
    told = split(house, "new", "old")
    assert {one["id"] for one in told["split_off"]["ids"]} == {"u:old", "a:dev"}
    assert [one["id"] for one in told["customer"]["ids"]] == ["u:new"]
    assert lengths(house, "new", "old") == [1, 1]


def test_what_cannot_be_split_is_said(house: House) -> None:
    house.batch(PAGE, JOIN, track("Product Viewed", customer="c2"))
    assert split(house, "c1", "c1", status=409)["code"] == "surviving_id"
    assert split(house, "c1", "c2", status=404)["code"] == "not_joined"
    assert split(house, "nobody", "c2", status=404)["code"] == "unknown_customer"
    assert split(house, "c1", "", status=422)["field"] == "id"
    split(house, "c1", "dev")
    assert split(house, "c1", "dev", status=404)["code"] == "not_joined"


@pytest.mark.parametrize("scopes", [("read",), ("ingest", "provisional"), ("review",)])
def test_only_an_admin_splits(house: House, scopes: tuple[str, ...]) -> None:
    house.batch(PAGE, JOIN)
    answer = house.client.post("/v1/customers/c1/split", json={"id": "dev"}, headers=house.key(*scopes))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_a_client_cannot_send_a_split(house: House) -> None:
    answer = house.batch({"type": "split", "userId": "c1", "anonymousId": "dev"})
    assert answer.json()["refused"][0]["code"] == "unknown_type"


IDS = st.sampled_from(["a", "b", "c", "d"])
AT = {"timestamp": st.sampled_from(["2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z", "2026-11-21T11:59:59Z"])}


def call(kind: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **more}, optional=AT)


TRAITS = st.fixed_dictionaries({"email": st.sampled_from(["a@b.c", "b@b.c"])})
CALLS = st.one_of(
    call("page", anonymousId=IDS),
    call("page", userId=IDS),
    call("identify", userId=IDS, anonymousId=IDS),
    call("identify", userId=IDS, traits=TRAITS),
    call("identify", anonymousId=IDS, traits=TRAITS),
    call("alias", userId=IDS, previousId=IDS),
)
PAIRS = st.one_of(
    st.tuples(IDS.map("a:{}".format), IDS.map("u:{}".format)),
    st.tuples(IDS.map("u:{}".format), IDS.map("u:{}".format)),
    st.tuples(st.sampled_from(["a@b.c", "b@b.c"]).map(lambda one: "x:email:" + hashed(one)), IDS.map("u:{}".format)),
)
STEPS = st.lists(st.one_of(st.lists(CALLS, min_size=1, max_size=5), PAIRS), max_size=7)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, fold_batch=st.integers(1, 7), most=st.integers(1, 3))
def test_folding_in_any_steps_and_assembling_the_export_give_the_same_customers_after_splits_too(
    steps: list[Any], fold_batch: int, most: int, tmp_path_factory: pytest.TempPathFactory, blank: Path
) -> None:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(blank, folder / "data")
    with open_house(folder, fold_batch=fold_batch, identity_most_users=most) as house:
        for number, step in enumerate(steps):
            house.clock.forward(1)
            if isinstance(step, tuple):
                undone = split_event(step, f"split-{number}", house.clock.at, "Ada", "")
                store.append(house.state.log, [undone], house.clock.at)
            else:
                house.batch(*step)
            if number % 2:
                projector.fold_all(house.state)
        house.clock.forward(1)
        if not export(house.state, folder / "out")["events"]:
            return
        found = folder / "out" / "events.parquet"
        whole = assemble(read_events(found), house.state.catalogue, read_rules(found)).journeys
        with house.state.service.read() as connection:
            ours = customers.journeys_of(connection, list(whole.customers))
        assert sum(ours.lengths) == len(rows(house)["touchpoints"])
        assert (ours.customers, ours.names) == (whole.customers, whole.names)
        for column in ("starts", "occurred_at", "known_at", "code"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(whole, column), column)
        before = rows(house)
        rebuild(house.state)
        assert rows(house) == before
