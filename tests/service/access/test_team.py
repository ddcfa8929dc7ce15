"""The team: who signs in with what, how guessing is slowed down, and what roles and the command line do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from models.journey.event import SECOND
from service.access import guessing, passwords, team
from service.errors import Conflict, Invalid, NotFound, TooMany
from tests.service.reviews.fakes import PASSWORD, Browser, Company, company, signed_in

ROOT = Path(__file__).parents[3]


@pytest.fixture
def dealer(tmp_path: Path) -> Iterator[Company]:
    with company(tmp_path) as running:
        yield running


def try_to_sign_in(dealer: Company, name: str, password: str, address: str = "10.0.0.1") -> tuple[int, str, str | None]:
    client = TestClient(dealer.app, client=(address, 5000))
    answer = client.post("/reviews/sign-in", data={"name": name, "password": password}, follow_redirects=False)
    return answer.status_code, answer.text, answer.headers.get("retry-after")


def test_a_hash_holds_for_its_password_alone_and_is_never_the_same() -> None:
    first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)
    assert first.startswith("$argon2id$") and first != second  # noqa: PT018
    assert passwords.matches(PASSWORD, first)
    assert not passwords.matches(PASSWORD + " ", first)
    assert not passwords.matches("nobody signs in with this", None)


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 257])
def test_a_password_too_short_or_too_long_is_refused_without_being_repeated(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        passwords.hashed(password)
    assert "12 to 256" in refused.value.message
    assert "value" not in refused.value.to_dict()


def test_a_name_is_known_whatever_its_capitals_and_the_session_has_it_as_it_was_added(dealer: Company) -> None:
    dealer.member("Ada Lovelace")
    assert "Ada Lovelace</a>" in signed_in(dealer, "  ada  LOVELACE ").open("/reviews")


def test_a_wrong_password_and_an_unknown_name_are_told_the_same(dealer: Company) -> None:
    dealer.member("Ada")
    wrong = try_to_sign_in(dealer, "Ada", "not the password", "10.0.0.2")
    unknown = try_to_sign_in(dealer, "Eve", PASSWORD, "10.0.0.3")
    assert wrong[0] == unknown[0] == 401
    assert "do not belong together" in wrong[1]
    assert wrong[1].replace("Ada", "Eve") == unknown[1]


def test_after_five_wrong_tries_even_the_right_password_has_to_wait(dealer: Company) -> None:
    dealer.member("Ada")
    for _ in range(guessing.TRIES_OF_BOTH):
        assert try_to_sign_in(dealer, "Ada", "wrong password")[0] == 401
        dealer.clock.forward(60)
    status, page, wait = try_to_sign_in(dealer, "Ada", PASSWORD)
    assert (status, wait) == (429, "600")
    assert "Try again in 10 minutes" in page
    assert try_to_sign_in(dealer, "Ada", PASSWORD, "10.0.0.9")[0] == 303, "who sits elsewhere is not shut out"
    dealer.clock.forward(600)
    assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 303


NEW = "another four words"


def change(browser: Browser, old: str = PASSWORD, new: str = NEW, again: str = NEW) -> str:
    browser.open("/reviews/password")
    return browser.send("/reviews/password", password=old, new=new, again=again)


def test_somebody_changes_their_own_password_and_is_signed_out_everywhere_else(dealer: Company) -> None:
    here, elsewhere = signed_in(dealer), signed_in(dealer)
    assert "It is changed" in change(here)
    assert "Nothing is waiting" in here.open("/reviews")
    assert "Sign in to review" in elsewhere.open("/reviews")
    assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 401
    assert try_to_sign_in(dealer, "Ada", NEW)[0] == 303


@pytest.mark.parametrize(
    ("old", "new", "again", "told"),
    [
        ("wrong password", NEW, NEW, "not the password you have now"),
        (PASSWORD, "short", "short", "12 to 256 characters"),
        (PASSWORD, NEW, NEW + "!", "not the same twice"),
    ],
)
def test_a_password_is_not_changed_by_a_slip(dealer: Company, old: str, new: str, again: str, told: str) -> None:
    assert told in change(signed_in(dealer), old, new, again)
    assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 303


def test_guessing_the_old_password_is_limited_like_signing_in(dealer: Company) -> None:
    browser = signed_in(dealer)
    for _ in range(guessing.TRIES_OF_BOTH):
        assert "not the password you have now" in change(browser, "wrong password")
    assert "too many wrong tries" in change(browser)


def test_a_form_from_elsewhere_changes_no_password(dealer: Company) -> None:
    browser = signed_in(dealer)
    browser.send("/reviews/password", csrf="0" * 64, password=PASSWORD, new=NEW, again=NEW)
    assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 303


def test_a_right_password_clears_the_wrong_ones_before_it(dealer: Company) -> None:
    dealer.member("Ada")
    for _ in range(3):
        for _ in range(guessing.TRIES_OF_BOTH - 1):
            assert try_to_sign_in(dealer, "Ada", "wrong password")[0] == 401
        assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 303


def test_an_address_and_a_name_have_limits_of_their_own(dealer: Company) -> None:
    with dealer.state.service.write() as connection:
        now = dealer.clock.at
        for number in range(guessing.TRIES_OF_ADDRESS):
            guessing.count_try(connection, f"a{number}", f"name {number}", "one address", now)
        with pytest.raises(TooMany):
            guessing.count_try(connection, "more", "somebody new", "one address", now)
        for number in range(guessing.TRIES_OF_NAME):
            guessing.count_try(connection, f"n{number}", "one name", f"address {number}", now)
        with pytest.raises(TooMany) as refused:
            guessing.count_try(connection, "more", "one name", "a new address", now + 100 * SECOND)
        assert refused.value.headers == {"Retry-After": "800"}
        guessing.count_try(connection, "later", "one name", "one address", now + guessing.WINDOW)


def test_who_is_removed_is_signed_out_and_may_come_back_under_the_name(dealer: Company) -> None:
    browser = signed_in(dealer)
    with dealer.state.service.write() as connection:
        team.change(connection, "ADA", removed_at=dealer.clock.at)
    assert "Sign in to review" in browser.open("/reviews")
    assert try_to_sign_in(dealer, "Ada", PASSWORD)[0] == 401
    with dealer.state.service.write() as connection:
        with pytest.raises(NotFound):
            team.change(connection, "Ada", role="lead")
        team.add(connection, "ada", "lead", passwords.hashed("another password"), dealer.clock.at)
        assert [(one.name, one.role, one.removed_at) for one in team.everybody(connection)] == [("Ada", "lead", None)]


def test_two_people_cannot_have_names_that_differ_in_capitals_alone(dealer: Company) -> None:
    dealer.member("Ada")
    with dealer.state.service.write() as connection, pytest.raises(Conflict, match="on the team already"):
        team.add(connection, "ADA", "reviewer", "hash", 0)


@pytest.mark.parametrize("name", ["", "   ", "A\x07da", "x" * 81])
def test_a_name_that_cannot_stand_beside_a_verdict_is_refused(dealer: Company, name: str) -> None:
    with dealer.state.service.write() as connection, pytest.raises(Invalid, match="1 to 80"):
        team.add(connection, name, "reviewer", "hash", 0)


def test_adjudicators_and_leads_adjudicate(dealer: Company) -> None:
    for name, role in (("Ada", "reviewer"), ("Bo", "adjudicator"), ("Lea", "lead")):
        dealer.member(name, role)
    with dealer.state.service.read() as connection:
        assert team.adjudicators(connection) == {"Bo", "Lea"}


def test_an_empty_team_is_told_how_the_first_one_comes_in(dealer: Company) -> None:
    assert "python -m service reviewers add NAME" in dealer.client.get("/reviews").text
    dealer.member("Ada")
    assert "reviewers add" not in dealer.client.get("/reviews").text


def command(folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "service", "reviewers", *arguments]
    environment = {**os.environ, "JOURNEY_DATA_DIR": str(folder / "data")}
    return subprocess.run(call, cwd=ROOT, env=environment, input=said, text=True, capture_output=True, check=False)


def test_the_command_line_adds_changes_and_removes(tmp_path: Path) -> None:
    def call(*arguments: str, said: str = "") -> str:
        done = command(tmp_path, *arguments, said=said)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Ada may sign in at /reviews, as lead" in call("add", "Ada", "--role", "lead", said=PASSWORD + "\n")
    assert json.loads(call("role", "Ada", "adjudicator", "--json"))["role"] == "adjudicator"
    assert "new password" in call("password", "ada", said="another password\n")
    assert "no longer" in call("remove", "Ada")
    listed = json.loads(call("list", "--json"))
    assert [(one["name"], one["role"]) for one in listed] == [("Ada", "adjudicator")]
    assert listed[0]["removed_at"] is not None
    assert "argon2" not in str(listed)


@pytest.mark.parametrize(
    ("arguments", "said", "told"),
    [
        (["add", "Ada"], "short\n", "12 to 256"),
        (["add", "Ada", "--role", "boss"], PASSWORD, "reviewer, adjudicator, lead"),
        (["role", "Nobody", "lead"], "", "Nobody on the team"),
    ],
)
def test_the_command_line_refuses_in_one_line(tmp_path: Path, arguments: list[str], said: str, told: str) -> None:
    done = command(tmp_path, *arguments, said=said)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
