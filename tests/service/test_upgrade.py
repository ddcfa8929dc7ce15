"""Upgrades with data in place: from every schema that ever was to the newest one, nothing is lost and all works.

A migration that moves or renames what it finds teaches `kept` below where it went; otherwise nothing here changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

import service
from service import backup
from service.database import Database, known_revisions
from tests.service.fakes import NOON, CountingIds, open_house, track

Name = Literal["log", "service"]
Rows = list[dict[str, Any]]
MIGRATIONS = Path(service.__file__).parent / "migrations"
EVERY = [(name, revision) for name in ("log", "service") for revision in known_revisions(name)]
T = NOON - 3_600_000_000

FIRST_LOG: dict[str, Rows] = {
    "log": [
        {"seq": 1, "stream": "event", "message_id": "m1", "kind": "track", "name": "Product Viewed", "user_id": "c1",
         "anonymous_id": None, "previous_id": None, "occurred_at": T, "received_at": T, "properties": "{}",
         "context": "{}"},
        {"seq": 2, "stream": "feedback", "message_id": "f1", "kind": "feedback", "name": "chat", "user_id": "c1",
         "anonymous_id": None, "previous_id": None, "occurred_at": T, "received_at": T + 1,
         "properties": '{"text":"I am angry","rating":null}', "context": "{}"},
        {"seq": 3, "stream": "event", "message_id": "m2", "kind": "track", "name": "Test Drive Booked",
         "user_id": "c1", "anonymous_id": None, "previous_id": None, "occurred_at": T + 2, "received_at": T + 2,
         "properties": "{}", "context": "{}"},
    ]
}  # fmt: skip
"""A log as the first schema held it; its last row is not folded yet."""

WAITING = {
    "kind": "feeling", "decision": "review", "flags": [["polite_anger", ""]], "answer": "negative",
    "details": {"confidence": 0.6}, "promise": None, "decided_by": "model",
    "about": {"feedback_id": "f1", "said_at": "2026-11-21T11:00:00Z", "channel": "chat"},
}  # fmt: skip
FIRST_SERVICE: dict[str, Rows] = {
    "customers": [{"customer_id": "c1", "changed_at": T, "revision": 1, "concluded_revision": 1}],
    "identities": [{"id": "u:c1", "customer_id": "c1", "joined_to": None, "joined_at": 0, "known_at": 0,
                    "message_id": None}],
    "touchpoints": [{"message_id": "m1", "own_id": "u:c1", "customer_id": "c1", "occurred_at": T, "received_at": T,
                     "known_at": T, "channel": "web", "action": "view", "stage": "convenience", "amount_minor": 0,
                     "contact": False}],
    "feedback": [{"feedback_id": "f1", "own_id": "u:c1", "customer_id": "c1", "said_at": T, "received_at": T + 1,
                  "known_at": T + 1, "channel": "chat", "text": "I am angry", "rating": None}],
    "cursors": [{"name": "projector", "seq": 2, "received_at": T + 1}],
    "conclusions": [{"conclusion_id": "k1", "customer_id": "c1", "kind": "feeling", "subject": "f1", "version": 1,
                     "digest": "one", "concluded_at": T + 2, "decision": "review", "decided_by": "model",
                     "stored": json.dumps(WAITING, separators=(",", ":")), "superseded_at": None}],
    "insights": [{"customer_id": "c1", "as_of": T + 2, "body": b'{"from":"the first schema"}',
                  "provisional_body": b'{"from":"the first schema"}', "version": 1, "digest": "one"}],
    "keys": [{"key_id": "0123456789ab", "name": "an old key", "scopes": "read",
              "hash": "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb", "created_at": T,
              "revoked_at": None, "last_used_at": None}],
}  # fmt: skip
"""What the first schema of service.db held of the same company. The key's secret is 64 times `a`."""


def build(folder: Path, name: Name, revision: str) -> sa.Engine:
    """An empty database as a service of that revision left it."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{folder / f'{name}.db'}")
    script = ScriptDirectory(str(MIGRATIONS / name))

    def steps(at: Any, _: object) -> Any:
        return script._upgrade_revs(revision, at)

    with engine.begin() as connection, EnvironmentContext(Config(), script, fn=steps) as alembic:
        alembic.configure(connection=connection)
        alembic.run_migrations()
    return engine


def fill(engine: sa.Engine, tables: Mapping[str, Rows]) -> None:
    found = sa.MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        for table, rows in tables.items():
            connection.execute(found.tables[table].insert(), rows)


def contents(engine: sa.Engine) -> dict[str, Rows]:
    """Every row of every table, as plain values; alembic's own left out."""
    found = sa.MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in found.sorted_tables
            if table.name != "alembic_version"
        }


def some_value(column: sa.Column[Any], number: int) -> Any:
    if isinstance(column.type, sa.Boolean):
        return bool(number % 2)
    if isinstance(column.type, sa.Integer):
        return number + 1
    if isinstance(column.type, sa.Float):
        return number / 2
    return f"{column.name}-{number}".encode() if isinstance(column.type, sa.LargeBinary) else f"{column.name}-{number}"


def some_rows(engine: sa.Engine, each: int = 3) -> dict[str, Rows]:
    """Rows for whatever tables there are, every other one with null where that is allowed."""
    found = sa.MetaData()
    found.reflect(engine)
    return {
        table.name: [
            {
                column.name: None
                if number % 2 and column.nullable and not column.primary_key
                else some_value(column, number)
                for column in table.columns
            }
            for number in range(each)
        ]
        for table in found.sorted_tables
        if table.name != "alembic_version"
    }


def moved(before: dict[str, Rows]) -> dict[str, Rows]:
    """The same rows where a later schema keeps them: what joined an id has left `identities` for `joins`. Sessions that
    were begun with a shared key are over, since everybody signs in by a password of their own."""
    by_key = any("key_id" in row for row in before.get("sessions", []))
    before = {table: rows for table, rows in before.items() if not (by_key and table == "sessions")}
    gone = {"joined_to": "owner", "joined_at": "known_at", "message_id": "message_id"}
    ids = [row for row in before.get("identities", []) if "joined_to" in row]
    if not ids:
        return before
    claims = [{"id": row["id"], **{now: row[then] for then, now in gone.items()}} for row in ids if row["joined_to"]]
    told = [{**row, "message_id": row["message_id"] or ""} for row in claims]
    return {**before, "joins": told, "identities": [{k: v for k, v in row.items() if k not in gone} for row in ids]}


def kept(before: dict[str, Rows], after: dict[str, Rows]) -> bool:
    """Every row is still there, with every value it had; it may have gained columns."""
    return all(
        any(row.items() <= now.items() for now in after.get(table, []))
        for table, rows in moved(before).items()
        for row in rows
    )


@pytest.mark.parametrize(("name", "revision"), EVERY)
def test_an_upgrade_from_any_schema_loses_no_row(tmp_path: Path, name: Name, revision: str) -> None:
    old = build(tmp_path, name, revision)
    fill(old, some_rows(old))
    before = contents(old)
    old.dispose()
    database = Database.open(tmp_path, name)

    after = contents(database.engine)
    database.close()
    assert sum(map(len, before.values())) >= 3
    assert kept(before, after)


def a_company_of_the_first_schema(data: Path) -> None:
    for name, rows in (("log", FIRST_LOG), ("service", FIRST_SERVICE)):
        engine = build(data, "log" if name == "log" else "service", "0001")
        fill(engine, rows)
        engine.dispose()


def test_a_service_of_the_first_schema_works_on_with_its_data(tmp_path: Path) -> None:
    a_company_of_the_first_schema(tmp_path / "data")
    with open_house(tmp_path) as house:
        old_key = {"Authorization": f"Bearer ji_0123456789ab_{'a' * 64}"}
        read = house.client.get("/v1/customers/c1/insight", headers=old_key)
        assert (read.status_code, read.json()) == (200, {"from": "the first schema"})

        house.batch(track("Dealer Visited", messageId="m3"), track("Product Viewed", messageId="m1"))
        house.worker.run_until_idle()
        insight = house.insight("c1")
        assert insight["journey"]["touchpoints"] == 3
        assert insight["feeling"]["review"]["status"] == "open"

        review = house.key("review")
        case = house.client.post("/v1/reviews/claim", headers=review, json={}).json()["case"]
        path = f"/v1/reviews/{case['conclusion_id']}/verdict"
        assert house.client.post(path, headers=review, json={"answer": "negative"}).status_code == 200
        assert house.insight("c1")["feeling"]["answer"] == "negative"


def test_a_backup_of_the_first_schema_is_restored_and_upgraded(tmp_path: Path) -> None:
    a_company_of_the_first_schema(tmp_path / "old")
    made = backup.backup(tmp_path / "old", tmp_path / "copy", NOON, CountingIds())
    backup.restore(tmp_path / "data", tmp_path / "copy")

    assert {one["schema"] for one in made["databases"].values()} == {"0001"}
    with open_house(tmp_path) as house:
        house.worker.run_until_idle()
        assert house.insight("c1")["journey"]["touchpoints"] == 2
