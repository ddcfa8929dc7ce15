"""/metrics: what was counted and what waits, who may see it, and that nothing personal is in it."""

from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.testclient import TestClient

from service.events import projector
from tests.service.fakes import House, open_house, publish, track
from tests.service.reviews.fakes import company

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(house: House) -> Samples:
    """Every sample as an operator's Prometheus reads it, by name and labels."""
    answer = house.client.get("/metrics", headers=house.key("admin"))
    assert answer.status_code == 200, answer.text
    families = parse(answer.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_by_the_routes_template_and_status(house: House) -> None:
    house.batch(track("Product Viewed"))
    for customer in ("c1", "c1", "somebody else"):
        house.client.get(f"/v1/customers/{customer}/insight", headers=house.key("read"))
    house.client.get("/no/such/path")
    house.client.request("BREW", "/healthz")
    found = scrape(house)

    route = "/v1/customers/{customer_id}/insight"
    assert value(found, "journey_requests_total", method="GET", route=route, status="200") == 2
    assert value(found, "journey_requests_total", method="GET", route=route, status="404") == 1
    assert value(found, "journey_requests_total", method="GET", route="unmatched", status="404") == 1
    assert value(found, "journey_request_seconds_count", method="GET", route=route) == 3
    assert {dict(labels).get("method") for _, labels in found} <= {None, "GET", "POST", "other"}


def test_a_500_is_counted_as_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.insights.reading.find_customer", lambda _, asked: 1 / (asked == ""))
    house.client.get("/v1/customers/c1/insight", headers=house.key("read"))

    route = "/v1/customers/{customer_id}/insight"
    assert value(scrape(house), "journey_requests_total", method="GET", route=route, status="500") == 1


def test_events_and_feedback_are_counted_by_what_became_of_them(house: House) -> None:
    house.batch(track("A", messageId="m1"), track("B", messageId="m1"), {"type": "track"})
    house.batch(track("A", messageId="m1"))
    for _ in range(3):
        house.say("f1", "hello there")
    found = scrape(house)

    assert value(found, "journey_events_total", outcome="accepted") == 1
    assert value(found, "journey_events_total", outcome="repeated") == 2
    assert value(found, "journey_events_total", outcome="refused") == 1
    assert value(found, "journey_feedback_total", outcome="accepted") == 1
    assert value(found, "journey_feedback_total", outcome="repeated") == 2


def test_what_lies_unfolded_and_unconcluded_is_told(house: House) -> None:
    house.batch(track("A"), track("B", customer="c2"))
    house.clock.forward(5)
    house.batch(track("C"))
    before = scrape(house)
    projector.fold_all(house.state)
    folded = scrape(house)
    house.worker.run_until_idle()
    done = scrape(house)

    assert value(before, "journey_log_rows_to_fold") == 3
    assert value(before, "journey_fold_lag_seconds") == pytest.approx(5, abs=0.001)
    assert (value(folded, "journey_log_rows_to_fold"), value(folded, "journey_fold_lag_seconds")) == (0, 0)
    assert value(folded, "journey_customers_pending") == 2
    assert value(done, "journey_customers_pending") == 0


def test_the_worker_is_known_by_its_lease(house: House) -> None:
    nobody = scrape(house)
    house.worker.run_once()
    house.clock.forward(7)
    working = scrape(house)
    house.clock.forward(100)
    silent = scrape(house)

    assert value(nobody, "journey_worker_running") == 0
    assert value(working, "journey_worker_running") == 1
    assert value(working, "journey_worker_lease_age_seconds") == 7
    assert (value(silent, "journey_worker_running"), value(silent, "journey_worker_lease_age_seconds")) == (0, 107)


def test_cases_are_counted_urgent_ones_apart_and_verdicts_close_them(tmp_path: Path) -> None:
    with company(tmp_path) as dealer:
        dealer.say("urgent, please", "well", "hm")
        dealer.clock.forward(60)
        headers = {"Authorization": f"Bearer {dealer.key('admin', 'review')}"}
        claimed = dealer.client.post("/v1/reviews/claim", headers=headers, json={}).json()["case"]
        path = f"/v1/reviews/{claimed['conclusion_id']}/verdict"
        assert dealer.client.post(path, headers=headers, json={"answer": "negative"}).status_code == 200
        lines = dealer.client.get("/metrics", headers=headers).text.splitlines()

    assert {'journey_open_cases{urgent="false"} 2.0', 'journey_open_cases{urgent="true"} 0.0'} <= set(lines)
    assert 'journey_conclusions{decided_by="model",decision="review"} 2.0' in lines
    assert 'journey_conclusions{decided_by="person",decision="review"} 1.0' in lines
    assert any(line.startswith("journey_oldest_case_seconds 62.") for line in lines)


def test_the_live_bundle_and_its_troubles_are_told(house: House) -> None:
    one = scrape(house)
    publish(house.settings.mlruns_dir, 2, "broken")
    broken = scrape(house)

    assert (value(one, "journey_bundle_version"), value(one, "journey_bundle_problem")) == (1, 0)
    assert (value(broken, "journey_bundle_version"), value(broken, "journey_bundle_problem")) == (1, 1)


@pytest.fixture
def nearby(house: House) -> TestClient:
    """A caller on the same machine."""
    return TestClient(house.app, client=("127.0.0.1", 50_000))


def test_this_machine_needs_no_key_and_others_need_one_that_may_manage(house: House, nearby: TestClient) -> None:
    assert nearby.get("/metrics").status_code == 200
    assert TestClient(house.app, client=("::1", 50_000)).get("/metrics").status_code == 200
    assert house.client.get("/metrics").json()["code"] == "key_missing"
    assert house.client.get("/metrics", headers=house.key("read")).json()["code"] == "scope_missing"
    assert TestClient(house.app, client=("192.0.2.7", 50_000)).get("/metrics").status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_what_a_proxy_on_this_machine_passes_on_needs_a_key(nearby: TestClient, header: str) -> None:
    assert nearby.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401


def test_loopback_can_be_made_to_need_a_key_too(tmp_path: Path) -> None:
    with open_house(tmp_path, metrics_on_loopback=False) as strict:
        caller = TestClient(strict.app, client=("127.0.0.1", 50_000))
        assert caller.get("/metrics").status_code == 401
        assert caller.get("/metrics", headers=strict.key("admin")).status_code == 200


def test_both_formats_can_be_read_and_name_nobody(house: House, nearby: TestClient) -> None:
    house.batch(track("Ada's secret", customer="ada@example.org", messageId="message-of-ada"))
    house.say("feedback-of-ada", "angry words", customer="ada@example.org")
    house.worker.run_until_idle()
    house.insight("ada@example.org")
    plain = nearby.get("/metrics").text
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    modern = nearby.get("/metrics", headers=accept)

    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    families = openmetrics(modern.text)  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"journey_requests", "journey_open_cases"}
    for secret in ("ada", "Ada", "angry", house.keys["ingest"], house.keys["ingest"].split("_")[1], "id-"):
        assert secret not in plain + modern.text


def test_two_services_in_one_process_count_apart(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    house.batch(track("A"))
    with open_house(tmp_path_factory.mktemp("other")) as other:
        assert value(scrape(other), "journey_events_total", outcome="accepted") == 0
    assert value(scrape(house), "journey_events_total", outcome="accepted") == 1
