"""What a page in a browser needs: the short paths, the settings it asks for, and CORS where events are taken in."""

from pathlib import Path
from typing import Any

import pytest

from service.access import keys
from tests.service.fakes import House, open_house, track

SITE = "https://shop.example.org"
PREFLIGHT = {
    "Origin": SITE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, x-retry-count",
}


@pytest.mark.parametrize(
    ("letter", "body"),
    [
        ("i", {"traits": {}}), ("t", {"event": "A"}), ("p", {"name": "Home"}), ("s", {"name": "Start"}),
        ("g", {"groupId": "g"}), ("a", {"previousId": "b"}), ("b", {"batch": [track("A")]}),
    ],
)  # fmt: skip
def test_the_paths_of_one_letter_are_the_calls_that_begin_with_it(
    house: House, letter: str, body: dict[str, Any]
) -> None:
    answer = house.client.post(f"/v1/{letter}", json={"userId": "c1", **body}, headers=house.key("ingest"))

    assert answer.json() == {"success": True, "accepted": 1, "repeated": 0, "refused": []}


def settings_of(house: House, key: str, **headers: str) -> Any:
    return house.client.get(f"/v1/projects/{key}/settings", headers=headers)


def test_the_settings_send_the_browsers_library_to_us_and_to_nobody_else(house: House) -> None:
    house.key("ingest")
    key = house.keys["ingest"]
    told = settings_of(house, key, Host="events.example.org:8443").json()

    assert told["integrations"].keys() == {"Segment.io"}
    segment = told["integrations"]["Segment.io"]
    assert (segment["apiKey"], segment["apiHost"]) == (key, "events.example.org:8443/v1")
    assert segment["protocol"] == "http"
    assert told["metrics"] == {"sampleRate": 0}


def test_behind_a_proxy_the_settings_name_the_public_address(tmp_path: Path) -> None:
    with open_house(tmp_path, public_url="https://example.org/tracking/") as house:
        house.key("ingest")
        segment = settings_of(house, house.keys["ingest"]).json()["integrations"]["Segment.io"]

    assert (segment["protocol"], segment["apiHost"]) == ("https", "example.org/tracking/v1")


def test_there_are_no_settings_for_a_key_that_may_not_send(house: House) -> None:
    house.key("read")

    for key in ("nonsense", house.keys["read"]):
        answer = settings_of(house, key)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_key")


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/t", "/v1/identify"])
def test_a_page_of_any_site_may_send_events(house: House, path: str) -> None:
    answer = house.client.options(path, headers=PREFLIGHT)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-retry-count" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


def test_answers_and_refusals_can_be_read_by_the_page(house: House) -> None:
    kept = house.client.post("/v1/t", json=track("A"), headers={**house.key("ingest"), "Origin": SITE})
    refused = house.client.post("/v1/t", json=track("A"), headers={"Origin": SITE})

    assert (kept.status_code, refused.status_code) == (200, 401)
    for answer in (kept, refused, settings_of(house, house.keys["ingest"], Origin=SITE)):
        assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in kept.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/dead-letters", "/v1/customers/c1/insight", "/reviews"])
def test_no_other_path_answers_another_site(house: House, path: str) -> None:
    assert "access-control-allow-origin" not in house.client.options(path, headers=PREFLIGHT).headers
    answer = house.client.get(path, headers={"Origin": SITE, **house.key("read", "admin")})
    assert "access-control-allow-origin" not in answer.headers


def test_sites_can_be_named_and_no_other_may_send(tmp_path: Path) -> None:
    with open_house(tmp_path, cors_origins=f"{SITE}/, https://www.example.org") as house:
        ours = house.client.options("/v1/t", headers=PREFLIGHT)
        other = house.client.options("/v1/t", headers={**PREFLIGHT, "Origin": "https://evil.example"})
    with open_house(tmp_path, cors_origins="") as house:
        none = house.client.options("/v1/t", headers=PREFLIGHT)

    assert ours.headers["access-control-allow-origin"] == SITE
    assert "Origin" in ours.headers["vary"]
    assert other.status_code == none.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_a_key_that_is_revoked_stops_working_at_once(house: House) -> None:
    headers = house.key("ingest")
    assert house.client.post("/v1/t", json=track("A"), headers=headers).status_code == 200
    keys.revoke(house.state.service, keys.all_keys(house.state.service)[0].key_id, house.clock())

    assert house.client.post("/v1/t", json=track("B"), headers=headers).status_code == 401
    assert settings_of(house, house.keys["ingest"]).status_code == 404
