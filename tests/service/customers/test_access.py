"""What is held of a customer is given out whole; and every table that holds something is in the walk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, insert, select

import service.__main__
from service.customers import walk
from service.database import Who, finder_of, holds, log_metadata, metadata
from tests.service.fakes import House, track

TABLES_ARE_DECLARED_BY = service.__main__
EVERY = [table for tables in (log_metadata, metadata) for table in tables.sorted_tables]
HOLDING = [table for table in EVERY if "holds_nothing" not in table.info and table.name != "catalogue_counts"]
ME = Who(customers=("me",), ids=("u:me", "a:dev"), feedback=("said",), events=("did",))


def row(table: Table, who: str, feedback: str, number: int) -> dict[str, Any]:
    """A row of somebody, with their ids wherever the table has a place for them."""
    known: dict[str, Any] = {"customer_id": who, "id": f"u:{who}", "owner": f"u:{who}", "own_id": f"u:{who}",
                             "subject": feedback, "feedback_id": feedback, "user_id": who,
                             "raw": json.dumps({"userId": who}).encode()}  # fmt: skip
    return {column.name: known.get(column.name, some(column, number)) for column in table.columns}


def some(column: Column[Any], number: int) -> Any:
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, Integer | BigInteger | Float):
        return number
    if isinstance(column.type, LargeBinary):
        return b"{}"
    return "{}" if column.name in column.table.info["json_columns"] else f"{column.name}-{number}"


@pytest.mark.parametrize("table", EVERY, ids=lambda table: table.name)
def test_every_table_declares_what_finds_the_rows_of_a_customer(table: Table) -> None:
    assert finder_of(table) is not None or table.info["holds_nothing"]


def test_a_table_that_does_not_say_how_its_rows_are_found_is_refused() -> None:
    tables = MetaData()
    Table("silent", tables, Column("what", String, primary_key=True))
    with pytest.raises(KeyError, match="rows"):
        list(walk.holding(tables))
    tables = MetaData()
    Table("vague", tables, Column("what", String, primary_key=True), **holds("all", "all"))
    with pytest.raises(KeyError, match="vague"):
        list(walk.holding(tables))


@pytest.mark.parametrize("table", HOLDING, ids=lambda table: table.name)
def test_the_walk_exports_and_erases_the_rows_of_one_customer_and_of_no_other(house: House, table: Table) -> None:
    tables = log_metadata if table in log_metadata.sorted_tables else metadata
    database = house.state.log if tables is log_metadata else house.state.service
    with database.write() as connection:
        connection.execute(insert(table), [row(table, "me", "said", 1), row(table, "other", "said by another", 2)])
        exported = walk.exported(connection, tables, ME)
        erased = walk.erased(connection, tables, ME)
        left = connection.execute(select(table)).all()

    assert {name: len(rows) for name, rows in exported.items() if rows} == {table.name: 1}
    assert {name: count for name, count in erased.items() if count} == {table.name: 1}
    assert len(left) == 1


def test_a_customer_is_exported_whole_by_any_of_their_ids(house: House) -> None:
    house.batch(
        {"type": "page", "anonymousId": "dev", "messageId": "m1"},
        {"type": "identify", "userId": "c1", "anonymousId": "dev", "traits": {"plan": "gold"}, "messageId": "m2"},
        track("Product Viewed", messageId="m3", properties={"price": 7}),
        track("Product Viewed", customer="c2", messageId="m4"),
        {"type": "track", "userId": "c1", "messageId": "refused"},
    )
    house.say("f1", "I am angry")
    house.worker.run_until_idle()
    for asked in ("c1", "dev"):
        answer = house.client.get(f"/v1/customers/{asked}/export", headers=house.key("admin"))
        assert answer.status_code == 200
        told = answer.json()
        held = told["held"]
        assert (told["customer_id"], told["ids"]) == ("c1", ["a:dev", "u:c1"])
        assert {one["message_id"] for one in held["log"]} == {"m1", "m2", "m3", "f1"}
        assert {"plan": "gold"} in [one["properties"] for one in held["log"]]
        assert [one["text"] for one in held["feedback"]] == ["I am angry"]
        assert held["conclusions"][0]["stored"]["answer"] == "negative"
        assert held["insights"][0]["body"]["customer_id"] == "c1"
        assert len(held["dead_letters"]) == 1
        assert held["touchpoints"][0]["occurred_at"].endswith("Z")


def test_only_an_admin_is_given_it_and_nobody_unknown_is_exported(house: House) -> None:
    assert house.client.get("/v1/customers/c1/export", headers=house.key("read")).status_code == 403
    assert house.client.delete("/v1/customers/c1", headers=house.key("read", "ingest")).status_code == 403
    assert house.client.get("/v1/customers/c1/export", headers=house.key("admin")).json()["code"] == "unknown_customer"
    assert house.client.delete("/v1/customers/c1", headers=house.key("admin")).json()["code"] == "unknown_customer"
