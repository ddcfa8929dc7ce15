"""Which bundle serves: none, the newest, or the old one while the newest is broken."""

from pathlib import Path

from service.live.bundles import LiveBundles
from tests.service.fakes import House, load_fake, open_house, publish, track


def test_nothing_published_is_version_0_without_a_bundle(tmp_path: Path) -> None:
    live = LiveBundles(tmp_path, load=load_fake).now()

    assert (live.bundle, live.model.version, live.model.digest) == (None, 0, None)


def test_a_new_entry_is_taken_up(tmp_path: Path) -> None:
    bundles = LiveBundles(tmp_path, check_seconds=0, load=load_fake)
    publish(tmp_path, 1, "one")
    assert bundles.now().model.version == 1
    publish(tmp_path, 2, "two")
    assert bundles.now().model.digest == "two"


def test_the_ledger_is_looked_at_only_now_and_then(tmp_path: Path) -> None:
    moment = [0.0]
    bundles = LiveBundles(tmp_path, check_seconds=1, load=load_fake, monotonic=lambda: moment[0])
    publish(tmp_path, 1, "one")
    bundles.now()
    publish(tmp_path, 2, "two")
    assert bundles.now().model.version == 1
    moment[0] = 1.0
    assert bundles.now().model.version == 2


def test_a_broken_bundle_leaves_the_old_one_serving_until_a_good_one_comes(tmp_path: Path) -> None:
    bundles = LiveBundles(tmp_path, check_seconds=0, load=load_fake)
    publish(tmp_path, 1, "one")
    bundles.now()
    publish(tmp_path, 2, "broken")
    assert bundles.now().model.version == 1
    assert bundles.problem == "version 2 cannot be loaded: broken is damaged"
    publish(tmp_path, 3, "three")
    assert bundles.now().model.version == 3
    assert bundles.problem is None


def test_a_ledger_that_cannot_be_read_is_a_problem_not_an_end(tmp_path: Path) -> None:
    bundles = LiveBundles(tmp_path, check_seconds=0, load=load_fake)
    publish(tmp_path, 1, "one")
    bundles.now()
    (tmp_path / "live" / "000002.json").write_text("{")
    assert bundles.now().model.version == 1
    assert "000002.json" in str(bundles.problem)


def test_readyz_says_which_bundle_serves_and_what_is_wrong_with_the_newest(house: House) -> None:
    publish(house.settings.mlruns_dir, 2, "broken")
    house.batch(track("A"))

    ready = house.client.get("/readyz").json()
    assert ready["bundle"]["version"] == 1
    assert "damaged" in ready["bundle"]["problem"]
    assert ready["events_to_fold"] == 1


def test_without_any_bundle_the_service_answers_abstain_with_base_rates(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "live").mkdir(parents=True)
    with open_house(tmp_path) as house:
        house.batch(track("Test Drive Booked"))
        house.say("f1", "I am angry")
        house.worker.run_until_idle()
        insight = house.insight("c1")

        assert insight["model"] == {"version": 0, "digest": None, "live_since": None}
        assert insight["next_touchpoint"]["decision"] == "abstain"
        assert insight["next_touchpoint"]["distribution"] == [{"touchpoint": "dealer.test_drive", "probability": 1.0}]
        assert [flag["code"] for flag in insight["feeling"]["flags"]] == ["not_trained"]
        assert house.client.get("/readyz").json()["bundle"]["trained"] is False
        publish(house.settings.mlruns_dir, 1, "one")
        house.worker.run_until_idle()
        assert house.insight("c1")["feeling"]["decision"] == "review"
