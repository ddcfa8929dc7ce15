"""An answer of a trained bundle is explained after the bundle was replaced and brought back: the same, to the digit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.bundle import load_bundle
from models.journey.event import format_time
from models.ledger import current
from service.commands.explain import explained
from service.insights import store
from tests.service.fakes import NOON, House, open_house, track
from tests.trained import Trained
from tests.training.variants import measured, variant
from training.promote import roll_back
from training.publish import go_live

pytest_plugins = ["tests.trained"]

HOUR = 3_600 * 1_000_000
OTHER = measured(lambda told: told["next_touchpoint"]["scaling"].update(temperature=0.1))


@pytest.fixture
def house(trained: Trained, blank: Path, tmp_path: Path) -> Iterator[House]:
    """A service in which a trained bundle is live as version 1, and two customers have done and said something."""
    root = tmp_path / "mlruns"
    go_live(root, variant(trained.report.folder, root, "first"), NOON - HOUR, "ada", "first")
    shutil.copytree(blank, tmp_path / "data")
    with open_house(tmp_path, load=load_bundle) as opened:
        for customer in ("c1", "c2"):
            for day in range(1, 9):
                at = f"2026-11-{day + 10:02}T10:00:00Z"
                opened.batch(track(("Page Viewed", "Test Drive Booked")[day % 2], customer, at))
        opened.say("f1", "I am very happy with the new car, thank you so much!")
        opened.worker.run_until_idle()
        yield opened


def _go_on(house: House, hours: int) -> None:
    """Time passes, and the service looks at the ledger and concludes anew."""
    house.clock.forward(3_600 * hours)
    house.bundles.now()
    house.batch(track("Page Viewed", "c1", format_time(house.clock.at)))
    house.worker.run_until_idle()


def _stored(house: House) -> dict[str, Any]:
    """The insight of c1 as it is kept: what was told to whoever may see all of it, and by whom."""
    with house.state.service.read() as connection:
        row = store.get_insight(connection, "c1")
    assert row is not None
    return {"version": row.version, "as_of": row.as_of, "answer": json.loads(row.provisional_body)}


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """Without how far its review is, which is no part of an answer."""
    feeling = {name: value for name, value in answer["feeling"].items() if name != "review"}
    return {**answer, "feeling": feeling}


def test_an_answer_comes_out_the_same_after_its_bundle_was_replaced_and_rolled_back(
    house: House, trained: Trained
) -> None:
    root = house.settings.mlruns_dir
    first = _stored(house)
    with house.state.service.read() as connection:
        (row,) = store.concluded_of(connection, "c1", None)
    first_digest = current(root)
    assert first_digest is not None

    second = variant(trained.report.folder, root, "second", OTHER)
    go_live(root, second, NOON + HOUR, "ada", "second")
    _go_on(house, 2)
    replaced = _stored(house)
    assert (first["version"], replaced["version"]) == (1, 2)
    told = explained(house.state, "c1")
    assert (told["reproduced"], told["model"]["version"], told["model"]["digest"]) == (True, 2, second)

    roll_back(root, "1", NOON + 3 * HOUR, "ada", "the second went wrong")
    _go_on(house, 2)
    told = explained(house.state, "c1")
    assert (told["reproduced"], told["model"]["version"]) == (True, 3)
    assert told["model"]["digest"] == first_digest.digest

    for then, version in ((first, 1), (replaced, 2)):  # each moment is answered by what was live, as it was answered
        again = explained(house.state, "c1", then["as_of"])
        assert again["model"]["version"] == version
        assert again["again"] == _told(then["answer"])
    assert explained(house.state, row.conclusion_id)["reproduced"] is True


def test_features_policy_and_thresholds_behind_an_answer_are_told(house: House) -> None:
    told = explained(house.state, "c1")
    policy = house.settings.policy
    assert told["policy"] == {"alpha": policy.alpha, "delta": policy.delta, "coverage": policy.coverage,
                              "digest": policy.digest}  # fmt: skip
    assert set(told["thresholds"]) == {"feeling", "next_touchpoint"}
    assert set(told["features"]) == {"web_visit"}  # of a car purchase there was too little to learn from
    assert len(told["features"]["web_visit"]) > 20
    assert any(told["features"]["web_visit"].values())
    assert told["reproduced"] is True
    assert told["answer"]["next_touchpoint"]["distribution"]


def test_a_bundle_that_was_changed_since_is_found_out(house: House, trained: Trained) -> None:
    root = house.settings.mlruns_dir
    other = root / "versions" / variant(trained.report.folder, root, "other", OTHER)
    told = explained(house.state, "c1", load=lambda folder, threads: load_bundle(other, threads))
    assert told["reproduced"] is False
    assert any(name.startswith("next_touchpoint") for name in told["differs"])
