"""Served probabilities are kept with what stood behind them, and checked by what happened within their horizon."""

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import select

from models.journey.event import DAY, SECOND, format_time
from service.export import export
from service.forecasts.store import forecasts, sources
from service.rebuild import rebuild
from tests.service.fakes import CAR, NOON, House, open_house, publish, track

GRACE = DAY
HORIZON = CAR.horizon_seconds * SECOND


def rows(house: House) -> list[dict[str, Any]]:
    wanted = select(forecasts, sources.c.version).join(sources, sources.c.source_id == forecasts.c.source_id)
    with house.state.service.read() as connection:
        found = connection.execute(wanted.order_by(forecasts.c.customer_id, forecasts.c.made_at))
        return [dict(row) for row in found.mappings()]


def work(house: House) -> None:
    house.worker.run_until_idle()


def visit(house: House, customer: str = "c1") -> None:
    house.batch(track("Product Viewed", customer, format_time(house.clock.at), properties={"channel": "web"}))
    work(house)


def buy(house: House, customer: str = "c1", at: int | None = None) -> None:
    house.batch(track("Order Completed", customer, format_time(house.clock.at if at is None else at)))
    work(house)


def pass_time(house: House, micros: int) -> None:
    house.clock.at += micros
    work(house)


def told(house: House) -> Any:
    answer = house.client.get("/v1/forecasts", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return answer.json()["targets"]


def test_a_served_probability_is_kept_with_its_features_bundle_and_policy(house: House) -> None:
    visit(house)

    (kept,) = rows(house)
    assert (kept["customer_id"], kept["probability"], kept["low"], kept["high"]) == ("c1", 0.34, 0.2, 0.5)
    assert (kept["made_at"], kept["due_at"], kept["happened"]) == (NOON, NOON + HORIZON, None)
    assert (kept["features"], kept["channel"], kept["version"]) == ("[1.0]", "web", 1)
    with house.state.service.read() as connection:
        source = connection.execute(select(sources)).one()
    assert (source.digest, source.policy_digest) == ("one", house.settings.policy.digest)
    assert source.features == '["touchpoints"]'


def test_one_a_day_is_kept_of_each_customer_and_the_first_of_a_new_version(house: House) -> None:
    visit(house)
    house.clock.forward(3_600)
    visit(house)
    assert len(rows(house)) == 1, "an hour later nearly the same is told"

    publish(house.settings.mlruns_dir, 2, "two")
    visit(house)
    assert [one["version"] for one in rows(house)] == [1, 2]

    house.clock.forward(86_401)
    visit(house)
    assert [one["version"] for one in rows(house)] == [1, 2, 2]


def test_every_one_is_kept_where_the_operator_says_so(tmp_path: Path) -> None:
    with open_house(tmp_path, forecast_hours=0) as house:
        for _ in range(3):
            visit(house)
            house.clock.forward(1)
        assert len(rows(house)) == 3


@pytest.mark.parametrize(("after", "expected"), [(HORIZON, 1), (HORIZON + SECOND, 0)])
def test_what_happened_is_known_once_the_horizon_and_the_grace_have_passed(
    house: House, after: int, expected: int
) -> None:
    visit(house)
    pass_time(house, after)
    buy(house)
    assert rows(house)[0]["happened"] is None

    pass_time(house, GRACE + SECOND)
    (first, *_) = rows(house)
    assert first["happened"] == expected
    assert first["checked_at"] == house.clock.at


def test_what_is_told_late_but_happened_in_time_counts(house: House) -> None:
    visit(house)
    house.clock.at += HORIZON + DAY // 2
    buy(house, at=NOON + DAY)
    pass_time(house, DAY)
    assert rows(house)[0]["happened"] == 1


def test_who_was_joined_to_another_is_checked_by_what_the_other_did(house: House) -> None:
    house.batch({"type": "page", "anonymousId": "dev", "timestamp": format_time(NOON)})
    work(house)
    house.clock.forward(60)
    house.batch({"type": "identify", "anonymousId": "dev", "userId": "ada"})
    house.batch(track("Order Completed", "ada", format_time(house.clock.at)))
    work(house)
    pass_time(house, HORIZON + 2 * GRACE)

    assert {one["customer_id"]: one["happened"] for one in rows(house)}["dev"] == 1


def test_nothing_is_checked_of_who_objects_and_nothing_of_them_is_exported(house: House, tmp_path: Path) -> None:
    visit(house)
    answer = house.client.put("/v1/customers/c1/consent", json={"profiling": False}, headers=house.key("admin"))
    assert answer.status_code == 200, answer.text
    work(house)
    assert export(house.state, tmp_path / "out")["forecasts"] == 0

    pass_time(house, HORIZON + GRACE + SECOND)
    assert rows(house) == []


def test_the_erased_leave_no_forecast(house: House) -> None:
    visit(house)
    answer = house.client.delete("/v1/customers/c1", headers=house.key("admin"))
    assert answer.status_code == 200, answer.text
    assert rows(house) == []


def test_where_events_of_the_horizon_were_deleted_nobody_can_tell(tmp_path: Path) -> None:
    with open_house(tmp_path, keep_events_days=10) as house:
        visit(house)
        house.clock.forward(30 * 86_400 + 2 * 86_400)
        visit(house)  # without it the customer would be forgotten
        assert rows(house)[0]["happened"] == -1
        assert told(house)[0]["uncheckable"] == 1


def test_old_forecasts_are_forgotten_where_the_operator_says_so(tmp_path: Path) -> None:
    with open_house(tmp_path, keep_forecasts_days=40) as house:
        visit(house)
        pass_time(house, 39 * DAY)
        assert min(one["made_at"] for one in rows(house)) == NOON
        pass_time(house, 2 * DAY)
        assert min(one["made_at"] for one in rows(house)) > NOON


def test_folding_anew_changes_no_forecast(house: House) -> None:
    visit(house)
    before = rows(house)
    rebuild(house.state)
    work(house)
    assert rows(house) == before


def test_the_endpoint_tells_how_good_they_were_by_version_channel_and_stage(house: House) -> None:
    people = [f"c{number}" for number in range(60)]
    house.batch(*(track("Product Viewed", one, format_time(NOON), properties={"channel": "web"}) for one in people))
    work(house)
    assert told(house)[0] == {
        "definition": "car_purchase", "pending": 60, "due": 0, "checked": 0, "uncheckable": 0,
        "computed_at": None, "quality": None,
    }  # fmt: skip

    house.clock.forward(86_400)
    house.batch(*(track("Order Completed", one, format_time(house.clock.at)) for one in people[:21]))
    pass_time(house, HORIZON + GRACE)

    (found,) = told(house)
    quality = found["quality"]
    assert found["checked"] >= 60
    first = quality["by"]["version"]["1"]
    assert first["n"] == quality["n"]
    assert quality["by"]["stage"].keys() <= {"convenience", "sale", "post_sale"}
    assert quality["measured"]
    assert quality["auc"] == 0.5, "the same was told of everybody"
    assert quality["auc_interval"] == [0.5, 0.5]
    assert quality["by"]["channel"]["web"]["happened"] == 21


def test_only_a_key_may_read_them(house: House) -> None:
    assert house.client.get("/v1/forecasts").status_code == 401
    assert house.client.get("/v1/forecasts", headers=house.key("ingest")).status_code == 403


def test_the_export_holds_each_with_what_became_of_it_by_then(house: House, tmp_path: Path) -> None:
    visit(house)
    early = house.clock.at
    house.clock.forward(86_400)
    buy(house)
    pass_time(house, HORIZON + GRACE)
    export(house.state, tmp_path / "now")
    export(house.state, tmp_path / "then", early)

    (then,) = pyarrow.parquet.read_table(tmp_path / "then" / "forecasts.parquet").to_pylist()
    first = pyarrow.parquet.read_table(tmp_path / "now" / "forecasts.parquet").sort_by("made_at").to_pylist()[0]
    assert (then["happened"], first["happened"]) == (None, True)
    assert (first["definition"], first["features"], first["version"]) == ("car_purchase", [("touchpoints", 1.0)], 1)
    assert (first["probability"], first["policy_digest"]) == (0.34, house.settings.policy.digest)


def test_a_cut_off_check_is_done_again_and_nothing_twice(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    visit(house)
    house.clock.forward(3_600)
    buy(house)
    house.clock.at += HORIZON + GRACE

    def cut(*_: object) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("service.forecasts.store.drop", cut)
        with pytest.raises(RuntimeError):
            work(house)
    assert all(one["happened"] is None for one in rows(house))
    house.clock.forward(60)
    work(house)
    assert rows(house)[0]["happened"] == 1
