"""Which versions were trained while somebody who objects was in the data, whatever was joined, said or lifted since."""

from pathlib import Path

from models.journey.event import parse_time
from service.export import export
from tests.service.customers.test_consent import banner, put
from tests.service.fakes import House, track, trained_on


def learned(house: House, version: int, folder: Path) -> None:
    """A version trained on what is exported now."""
    export(house.state, folder)
    trained_on(house, version, folder)


def versions(house: House, id: str = "c1") -> list[tuple[int, bool]]:
    answer = house.client.get(f"/v1/customers/{id}/consent/versions", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return [(one["version"], one["sure"]) for one in answer.json()["versions"]]


def test_versions_trained_while_an_objector_was_in_the_data_are_listed(house: House, tmp_path: Path) -> None:
    learned(house, 2, tmp_path / "before")
    house.clock.forward(60)
    house.batch(track("A"), banner(True, userId="c1"))
    house.batch(track("A", "c2"))
    learned(house, 3, tmp_path / "with")
    assert versions(house) == []  # they agree
    for day in range(3):  # a banner repeats itself with every page
        house.clock.forward(86_400)
        house.batch(banner(False, userId="c1"), track(f"Day {day}", "c2"))
        learned(house, 4 + day, tmp_path / f"without-{day}")
    assert versions(house) == [(3, True)]
    assert versions(house, "c2") == []

    house.clock.forward(60)
    house.batch(banner(True, userId="c1"))
    learned(house, 7, tmp_path / "with again")
    put(house, "c1", False)
    learned(house, 8, tmp_path / "without at last")
    assert versions(house) == [(3, True), (7, True)]


def test_what_a_joined_device_did_was_in_the_data_until_it_was_joined_to_who_objects(
    house: House, tmp_path: Path
) -> None:
    house.batch(track("A"), {"type": "page", "anonymousId": "dev"})
    put(house, "c1", False)
    learned(house, 2, tmp_path / "with the device")
    house.clock.forward(60)
    house.batch({"type": "identify", "userId": "c1", "anonymousId": "dev"}, track("A", "c2"))
    learned(house, 3, tmp_path / "without")
    assert versions(house) == versions(house, "dev") == [(2, True)]


def test_a_version_of_unknown_data_is_listed_as_not_sure(house: House) -> None:
    house.clock.at = parse_time("2026-11-01T00:00:00Z")  # before anything went live
    house.batch(track("A", at="2026-10-31T10:00:00Z"))
    trained_on(house, 2, None)
    put(house, "c1", False)
    assert versions(house) == [(1, False), (2, False)]
