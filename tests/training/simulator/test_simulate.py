"""The files of a simulation: whole, in order, reproducible, and worth learning from by known margins."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.journey.eventlog import read_events
from models.journey.touchpoint import Catalogue
from training.simulator import EVENT_NAMES, TOUCHPOINTS, pure_noise, simulate

CUSTOMERS, SEED = 6000, 11
FILES = ("events.parquet", "feedback.parquet", "truth.parquet")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("company")
    return folder, simulate(CUSTOMERS, SEED, folder)


def table(company: tuple[Path, dict[str, Any]], name: str) -> pa.Table:
    return pq.read_table(company[0] / f"{name}.parquet")


def micros(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.int64()).to_numpy())


def test_knowing_the_truth_beats_the_base_rate_and_second_order_markov_by_a_margin(
    company: tuple[Path, dict[str, Any]],
) -> None:
    losses = company[1]["reference_losses"]
    for moment in ("touchpoint", "random"):
        purchase = losses["purchase_within_horizon"][moment]
        assert purchase["base_rate_loss"] - purchase["truth_loss"] >= 0.05
    assert losses["next_touchpoint"]["markov2_loss"] - losses["next_touchpoint"]["truth_loss"] >= 0.15


def test_what_was_told_was_as_frequent_as_told(company: tuple[Path, dict[str, Any]]) -> None:
    truth, events = table(company, "truth"), table(company, "events")
    bought = [
        (row["message_id"].rsplit("-", 1)[0], row["occurred_at"])
        for row in events.filter(pa.compute.equal(events["event"], "Order Completed")).to_pylist()
    ]
    end = np.datetime64(company[1]["ends_at"][:19], "us").astype(np.int64)
    day = 86_400_000_000
    when: dict[str, list[int]] = {}
    for user, at in bought:
        when.setdefault(user, []).append(int(at.timestamp() * 1e6))
    as_of, told = micros(truth["as_of"]), truth["purchase_within_horizon"].to_numpy()
    rows = np.flatnonzero((as_of <= end - 90 * day) & (truth["moment"].to_numpy(zero_copy_only=False) == "random"))
    users = truth["user_id"].to_pylist()
    happened = np.array([any(0 < at - as_of[r] <= 90 * day for at in when.get(users[r], [])) for r in rows])
    for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.4), (0.4, 1.0)):
        band = (told[rows] >= low) & (told[rows] < high)
        odds = told[rows][band]
        assert abs(odds.mean() - happened[band].mean()) < 4 * np.sqrt((odds * (1 - odds)).sum()) / band.sum()


def test_every_touchpoint_and_one_random_moment_of_each_customer_has_its_truth(
    company: tuple[Path, dict[str, Any]],
) -> None:
    truth, events = table(company, "truth"), table(company, "events")
    touched = truth.filter(pa.compute.equal(truth["moment"], "touchpoint"))
    seen = events.filter(pa.compute.not_equal(events["type"], "identify"))
    assert set(touched["message_id"].to_pylist()) == set(seen["message_id"].to_pylist())
    assert touched.num_rows == seen.num_rows
    assert truth.num_rows - touched.num_rows == CUSTOMERS == len(set(truth["user_id"].to_pylist()))
    at = dict(zip(seen["message_id"].to_pylist(), micros(seen["occurred_at"]).tolist(), strict=True))
    assert [at[name] for name in touched["message_id"].to_pylist()] == micros(touched["as_of"]).tolist()


def test_probabilities_are_probabilities(company: tuple[Path, dict[str, Any]]) -> None:
    truth = table(company, "truth")
    following = np.column_stack([truth[f"next:{name}"].to_numpy() for name in TOUCHPOINTS])
    np.testing.assert_allclose(following.sum(axis=1), 1.0, atol=1e-5)
    for values in (following, truth["purchase_within_horizon"].to_numpy(), truth["none_within_horizon"].to_numpy()):
        assert values.min() >= 0
        assert values.max() <= 1


def test_every_text_has_its_labels_and_every_label_its_text(company: tuple[Path, dict[str, Any]]) -> None:
    texts = {
        row["message_id"]: json.loads(row["properties"])
        for row in table(company, "events").select(["message_id", "properties"]).to_pylist()
        if '"text"' in row["properties"]
    }
    feedback = table(company, "feedback").to_pylist()
    assert len(feedback) == len(texts)
    for row in feedback:
        properties = texts[row["feedback_id"]]
        assert (row["text"], row["rating"]) == (properties["text"], properties.get("rating"))
        assert row["channel"] == properties["channel"]


def test_an_identify_comes_before_the_first_event_of_each_device(company: tuple[Path, dict[str, Any]]) -> None:
    owner: dict[str, str] = {}
    devices: dict[str, set[str]] = {}
    for row in table(company, "events").select(["type", "user_id", "anonymous_id"]).to_pylist():
        device = row["anonymous_id"]
        if row["type"] == "identify":
            owner[device] = row["user_id"]
            devices.setdefault(row["user_id"], set()).add(device)
        elif device is not None:
            assert device in owner
            assert row["user_id"] in (None, owner[device])
        else:
            assert row["user_id"] is not None
    assert {len(held) for held in devices.values()} == {1, 2, 3, 4}


def test_events_are_in_order_unique_and_received_after_they_occurred(company: tuple[Path, dict[str, Any]]) -> None:
    events = table(company, "events")
    ids, at = events["message_id"].to_pylist(), micros(events["occurred_at"])
    assert len(set(ids)) == len(ids)
    assert np.all(np.diff(at) >= 0)
    late = micros(events["received_at"]) - at
    assert late.min() >= 0
    assert 0.001 < (late > 3_600_000_000).mean() < 0.006


def test_all_channels_and_stages_are_there(company: tuple[Path, dict[str, Any]]) -> None:
    events = table(company, "events")
    names = {name for name in events["event"].to_pylist() if name is not None}
    assert names == set(EVENT_NAMES)
    assert len(company[1]["channels"]) >= 10
    assert set(company[1]["touchpoints"].values()) == {"convenience", "sale", "post_sale"}
    assert json.loads((company[0] / "company.json").read_text(encoding="utf-8")) == company[1]


def test_the_catalogue_reads_every_event_as_the_touchpoint_that_is_meant(tmp_path: Path) -> None:
    simulate(300, 4, tmp_path)
    catalogue = Catalogue.default()
    for event in read_events(tmp_path / "events.parquet"):
        touchpoint = catalogue.touchpoint(event)
        if event.kind == "identify":
            assert touchpoint is None
        else:
            assert touchpoint is not None
            assert (touchpoint.name, touchpoint.stage) == (EVENT_NAMES[event.name], TOUCHPOINTS[touchpoint.name])
            assert (touchpoint.text is not None) == ("text" in event.properties)


def test_journeys_are_of_a_usual_length_and_some_customers_buy(company: tuple[Path, dict[str, Any]]) -> None:
    truth = table(company, "truth")
    touched = truth.filter(pa.compute.equal(truth["moment"], "touchpoint"))
    lengths = np.unique(touched["user_id"].to_pylist(), return_counts=True)[1]
    assert 8 <= np.median(lengths) <= 20
    orders = table(company, "events")
    orders = orders.filter(pa.compute.equal(orders["event"], "Order Completed"))["message_id"].to_pylist()
    assert 0.05 < len({order.rsplit("-", 1)[0] for order in orders}) / CUSTOMERS < 0.15


def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(tmp_path: Path) -> None:
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(300, seed, tmp_path / folder)
    for file in (*FILES, "company.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / FILES[0]).read_bytes() != (tmp_path / "c" / FILES[0]).read_bytes()


def test_journeys_do_not_depend_on_how_many_customers_follow(tmp_path: Path) -> None:
    simulate(50, 5, tmp_path / "few")
    simulate(200, 5, tmp_path / "more")
    few, more = (pq.read_table(tmp_path / folder / "truth.parquet") for folder in ("few", "more"))
    assert more.slice(0, few.num_rows).equals(few)


def test_of_pure_noise_nothing_can_be_learned(tmp_path: Path) -> None:
    told: dict[str, Any] = pure_noise(2500, 3, tmp_path)
    losses = told["reference_losses"]
    purchase = losses["purchase_within_horizon"]["touchpoint"]
    assert abs(purchase["base_rate_loss"] - purchase["truth_loss"]) < 0.002
    assert losses["next_touchpoint"]["truth_loss"] == pytest.approx(np.log(len(TOUCHPOINTS)))
    truth = pq.read_table(tmp_path / "truth.parquet")
    assert np.ptp(truth["purchase_within_horizon"].to_numpy()) < 1e-6


def test_progress_tells_customers_done_and_in_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(5000, 1, tmp_path, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(4096, 5000), (5000, 5000)]


def test_bad_input_is_refused_by_name_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="customers"):
        simulate(0, 1, tmp_path)
    with pytest.raises(ValueError, match="seed"):
        simulate(1, -1, tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="out"):
        simulate(1, 1, file)
    assert list(tmp_path.iterdir()) == [file]


def test_one_customer_is_enough(tmp_path: Path) -> None:
    simulate(1, 2, tmp_path)
    assert pq.read_table(tmp_path / "truth.parquet").num_rows >= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((*FILES, "company.json"))
