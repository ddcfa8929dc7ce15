"""Nothing is concluded of who objects to being profiled, from that moment on, under whichever id they said so."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import Event, Micros
from service.customers import consent
from service.database import Database
from service.events import projector
from service.events.consents import Standing, Statement, consents, statements_of
from service.events.history import History, files_of
from service.export import export
from service.insights import store
from service.rebuild import rebuild
from tests.service.fakes import House, open_house, track
from tests.service.reviews.fakes import Company, company, signed_in

REASON = {"code": "do_not_profile", "text": "This customer objected to being profiled, so nothing is concluded."}


def put(house: House, id: str, profiling: bool, **more: Any) -> dict[str, Any]:
    house.clock.forward(1)
    answer = house.client.put(f"/v1/customers/{id}/consent", json={"profiling": profiling, **more},
                              headers=house.key("review"))  # fmt: skip
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def profiling(house: House, id: str = "c1") -> bool:
    answer = house.client.get(f"/v1/customers/{id}/consent", headers=house.key("read"))
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["profiling"])


def banner(allowed: bool, **ids: str) -> dict[str, Any]:
    preferences = {"categoryPreferences": {"Advertising": allowed, "Functional": True}}
    return {"type": "page", "context": {"consent": preferences}, **ids}


def is_silent(insight: dict[str, Any]) -> bool:
    """Whether every conclusion abstains for this one reason, and nothing of an answer is in it."""
    every = [insight["next_touchpoint"], *insight["purchase"], insight["feeling"]]
    told = {name for one in every for name in one}
    if not told.isdisjoint({"confidence", "distribution", "interval", "emotions", "provisional"}):
        return False
    return all((one["decision"], one["answer"], one["flags"]) == ("abstain", None, [REASON]) for one in every)


def angry_customer(house: House) -> None:
    house.batch(track("Test Drive Booked"), {"type": "identify", "userId": "c1", "anonymousId": "dev"})
    house.say("f1", "I am angry")
    house.worker.run_until_idle()
    assert not is_silent(house.insight("c1"))


def test_an_objection_withdraws_every_conclusion_before_it_is_answered(house: House) -> None:
    angry_customer(house)

    told = put(house, "c1", False, reason="said so on the phone", by="Ada")
    assert (told["customer_id"], told["profiling"]) == ("c1", False)
    (said,) = told["statements"]
    assert (said["id"], said["id_kind"], said["by"], said["reason"], said["objects"]) == (
        "c1", "userId", "Ada", "said so on the phone", True)  # fmt: skip
    with house.state.service.read() as connection:
        assert store.current_waiting(connection, 10) == []
        row = store.get_insight(connection, "c1")
    assert row is not None
    assert b"do_not_profile" in row.body
    assert b"do_not_profile" in row.provisional_body
    for scope in ("read", "provisional"):
        assert is_silent(house.insight("c1", scope))
    assert is_silent(house.insight("c1", as_of="2026-11-21T12:00:00Z"))
    assert house.insight("c1")["journey"]["touchpoints"] == 1


def test_the_worker_concludes_nothing_about_who_objected(house: House) -> None:
    angry_customer(house)
    put(house, "c1", False)
    house.clock.forward(60)
    house.batch(track("Order Completed", at="2026-11-21T11:30:00Z"))
    house.say("f2", "fine", at="2026-11-21T11:45:00Z")
    house.worker.run_until_idle()

    assert is_silent(house.insight("c1"))
    with house.state.service.read() as connection:
        assert store.current_about(connection, ["f1", "f2"]).keys() == {"f1"}


def test_the_timeline_tells_nothing_of_what_was_concluded_before(house: House) -> None:
    angry_customer(house)
    put(house, "c1", False)

    page = house.client.get("/v1/customers/c1/journey", headers=house.key("provisional")).json()
    assert page["profiling"] is False
    said = page["touchpoints"][0]
    assert (said["words"]["text"], said["feeling"]) == ("I am angry", None)
    assert [one["flags"] for one in said["concluded"]] == [[REASON]]


def test_consent_given_again_brings_conclusions_back_and_what_a_person_had_answered(house: House) -> None:
    angry_customer(house)
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    house.client.post(path, json={"answer": "mixed"}, headers=house.key("review"))
    put(house, "c1", False)
    assert is_silent(house.insight("c1"))

    assert put(house, "c1", True)["profiling"] is True
    house.worker.run_until_idle()
    insight = house.insight("c1")
    assert insight["next_touchpoint"]["answer"] == "dealer.test_drive"
    assert (insight["feeling"]["decided_by"], insight["feeling"]["answer"]) == ("person", "mixed")


def test_a_waiting_case_comes_back_with_consent(house: House) -> None:
    angry_customer(house)
    put(house, "c1", False)
    put(house, "c1", True)
    house.worker.run_until_idle()

    with house.state.service.read() as connection:
        assert [row.subject for row in store.current_waiting(connection, 10)] == ["f1"]


def test_a_verdict_that_comes_after_the_objection_is_kept_and_concludes_nothing(house: House) -> None:
    angry_customer(house)
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    put(house, "c1", False)
    path = f"/v1/reviews/{case['conclusion_id']}/verdict"
    house.client.post(path, json={"answer": "mixed"}, headers=house.key("review"))

    assert is_silent(house.insight("c1"))
    with house.state.service.read() as connection:
        assert store.current_about(connection, ["f1"])["f1"].decision == "abstain"


def test_a_banner_that_refuses_the_category_stops_conclusions_as_soon_as_it_is_folded(house: House) -> None:
    angry_customer(house)
    house.batch(banner(False, userId="c1"))
    projector.fold_all(house.state)

    assert is_silent(house.insight("c1"))
    case = house.client.post("/v1/reviews/claim", json={}, headers=house.key("review")).json()["case"]
    assert case is None, "it left the queue though the worker has not come to it yet"


def test_who_objected_is_concluded_before_all_others(house: House) -> None:
    angry_customer(house)
    house.batch(*(track("Product Viewed", f"other{number}") for number in range(5)))
    projector.fold_all(house.state)
    house.clock.forward(1)
    house.batch(banner(False, userId="c1"))
    projector.fold_all(house.state)

    with house.state.service.read() as connection:
        assert store.pending(connection, 1) == ["c1"]


def test_a_banner_says_nothing_of_categories_that_do_not_count(tmp_path: Path) -> None:
    with open_house(tmp_path, consent_categories="Analytics, Personalisation") as house:
        house.batch(track("Product Viewed"), banner(False, userId="c1"))
        house.worker.run_until_idle()
        assert profiling(house)
        both = {"consent": {"categoryPreferences": {"Analytics": True, "Personalisation": False}}}
        house.batch({"type": "page", "userId": "c1", "context": both})
        house.worker.run_until_idle()
        assert not profiling(house)


def test_another_choice_of_categories_reads_the_log_again(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.batch(track("Product Viewed"), banner(False, userId="c1"))
        house.worker.run_until_idle()
        assert not profiling(house)
    with open_house(tmp_path, consent_categories="Functional") as house:
        projector.fold(house.state)
        assert profiling(house)


def test_a_banners_yes_does_not_lift_what_somebody_stated_outright(house: House) -> None:
    angry_customer(house)
    put(house, "c1", False)
    house.clock.forward(5)
    house.batch(banner(True, userId="c1"))
    house.worker.run_until_idle()
    assert not profiling(house)

    put(house, "c1", True)
    house.clock.forward(5)
    house.batch(banner(False, userId="c1"))
    house.worker.run_until_idle()
    assert not profiling(house), "the banner's later no counts"
    house.clock.forward(5)
    house.batch(banner(True, userId="c1"))
    house.worker.run_until_idle()
    assert profiling(house)


def test_an_objection_of_a_device_is_that_of_the_person_it_is_joined_to(house: House) -> None:
    house.batch(banner(False, anonymousId="dev"), track("Product Viewed"))
    house.worker.run_until_idle()
    assert (profiling(house, "dev"), profiling(house, "c1")) == (False, True)

    house.batch({"type": "identify", "userId": "c1", "anonymousId": "dev"})
    house.worker.run_until_idle()
    assert not profiling(house, "c1")
    assert is_silent(house.insight("c1"))


@pytest.mark.parametrize(("objector", "after"), [("dev", (False, True)), ("c1", (True, False))])
def test_after_a_split_an_objection_stays_with_the_id_for_which_it_was_made(
    house: House, objector: str, after: tuple[bool, bool]
) -> None:
    house.batch({"type": "page", "anonymousId": "dev", "timestamp": "2026-11-20T09:00:00Z"}, track("Product Viewed"))
    house.batch({"type": "identify", "userId": "c1", "anonymousId": "dev"})
    house.worker.run_until_idle()
    put(house, objector, False)
    assert (profiling(house, "dev"), profiling(house, "c1")) == (False, False)

    house.clock.forward(1)
    path, body = "/v1/customers/c1/split", {"id": "a:dev", "reason": "a shared tablet"}
    assert house.client.post(path, json=body, headers=house.key("admin")).status_code == 200
    house.worker.run_until_idle()
    assert (profiling(house, "dev"), profiling(house, "c1")) == after
    assert (is_silent(house.insight("dev")), is_silent(house.insight("c1"))) == (not after[0], not after[1])


def test_who_is_not_known_yet_can_object_and_is_never_concluded(house: House) -> None:
    assert put(house, "c7", False)["profiling"] is False
    house.batch(track("Product Viewed", "c7"))
    house.worker.run_until_idle()

    assert is_silent(house.insight("c7"))
    put(house, "dev7", False, id_kind="anonymousId")
    house.batch(track("Product Viewed", "c8", anonymousId="dev7"))
    house.worker.run_until_idle()
    assert is_silent(house.insight("c8"))
    unknown = house.client.get("/v1/customers/c9/consent", headers=house.key("read"))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_customer")


@pytest.mark.parametrize("scope", ["ingest", "read"])
def test_only_a_key_that_may_review_or_administer_changes_consent(house: House, scope: str) -> None:
    answer = house.client.put("/v1/customers/c1/consent", json={"profiling": True}, headers=house.key(scope))

    assert answer.status_code == 403


def test_predictions_that_name_who_objected_are_silent_and_others_are_not(house: House) -> None:
    angry_customer(house)
    put(house, "c1", False)
    sent = {"events": [{"event": "Order Completed", "timestamp": "2026-11-20T10:00:00Z"}],
            "feedback": [{"text": "fine"}]}  # fmt: skip
    body = {"journeys": [{"customer_id": id, **sent} for id in ("c1", "dev", "c2")] + [sent]}
    told = house.client.post("/v1/predictions", json=body, headers=house.key("read")).json()["predictions"]

    assert [one["customer_id"] for one in told] == ["c1", "dev", "c2", "journey-3"]
    assert [is_silent(one) for one in told] == [True, True, False, False]


def test_training_gets_nothing_of_who_objected_from_then_on(house: House, tmp_path: Path) -> None:
    angry_customer(house)
    house.batch(track("Product Viewed", "c2"))
    house.say("f2", "fine", customer="c2")
    house.worker.run_until_idle()
    before = house.clock.at + 10
    put(house, "dev", False)

    export(house.state, tmp_path / "out", before)
    for name in ("events", "feedback", "conclusions", "verdicts"):
        rows = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
        assert {row.get("user_id", row.get("customer_id")) for row in rows} == ({"c2"} if name != "verdicts" else set())


def test_objections_are_imported_from_a_file(house: House, tmp_path: Path) -> None:
    angry_customer(house)
    file = tmp_path / "objections.csv"
    file.write_text(
        "date,customer_id,do_not_profile,reason\n2026-11-20,c1,yes,letter\n2026-11-20,c2,no,\n2026-11-20,c3,,\n"
    )
    history = History(files_of([str(file)], "objections", {}), house.settings, house.clock)
    assert history.bring(house.state.log).new == 3
    house.worker.run_until_idle()

    assert [profiling(house, id) for id in ("c1", "c2", "c3")] == [False, True, False]
    assert is_silent(house.insight("c1"))


def test_a_rebuild_gives_the_same_rows_and_never_forgets_an_objection(house: House) -> None:
    angry_customer(house)
    house.batch(banner(False, userId="c2", anonymousId="tab"), banner(True, userId="c3"))
    put(house, "dev", False)
    put(house, "c4", True)
    house.worker.run_until_idle()

    def rows(database: Database) -> list[Any]:
        with database.read() as connection:
            return [tuple(row) for row in connection.execute(consents.select().order_by(consents.c.id))]

    before = rows(house.state.service)
    assert len(before) == 5
    with house.state.service.write() as connection:
        projector.forget_folded(connection)
    assert rows(house.state.service) == []
    projector.fold(house.state)
    assert rows(house.state.service) == before
    rebuild(house.state)
    assert rows(house.state.service) == before


TOLD = st.lists(
    st.tuples(st.sampled_from(["statement", "banner"]),
              st.builds(Statement, st.integers(0, 3), st.booleans(), st.sampled_from(["m1", "m2", "m3"]))),
    max_size=5,
)  # fmt: skip


@given(told=TOLD)
def test_what_counts_does_not_depend_on_the_order_of_arrival_nor_on_repeats(told: list[Any]) -> None:
    def standing(order: Any) -> Standing:
        found = Standing()
        for source, said in (*order, *order):
            found = found.with_one(source, said)
        return found

    assert len({standing(order) for order in permutations(told)}) == 1


@pytest.mark.parametrize(
    ("given", "refuses"),
    [(True, True), (False, False), ("yes", True), ("x", True), ("No", False), ("0", False), (1, True), ("", False)],
)
def test_a_trait_says_whether_somebody_objects_however_it_is_spelled(given: object, refuses: bool) -> None:
    event = Event("m1", "identify", "", "c1", "dev", 5, 6, {"do_not_profile": given})

    ((id, source, said),) = statements_of(event, ())
    assert (id, source, said.refuses) == ("u:c1", "statement", refuses)


@pytest.mark.parametrize("context", [{}, {"consent": None}, {"consent": {"categoryPreferences": []}},
                                     {"consent": {"categoryPreferences": {"Functional": False}}}])  # fmt: skip
def test_an_event_without_our_category_says_nothing(context: dict[str, Any]) -> None:
    assert list(statements_of(Event("m1", "page", "", "c1", None, 5, 6, {}, context), ("Advertising",))) == []


def test_of_two_statements_at_one_moment_the_refusal_counts() -> None:
    at: Micros = 7
    for order in permutations([Statement(at, True, "a"), Statement(at, False, "z")]):
        found = Standing()
        for said in order:
            found = found.with_one("statement", said)
        assert found.objects


def test_the_page_takes_down_an_objection_and_lifts_it_for_each_id_that_objects(tmp_path: Path) -> None:
    with company(tmp_path) as dealer:
        dealer.did("c1", "Product Viewed", "Test Drive Booked")
        dealer.say("I am angry", customer="c1")
        browser = signed_in(dealer)
        browser.open("/reviews/customer?id=c1")
        dealer.clock.forward(5)
        html = browser.send("/reviews/customer/consent", id="c1", profiling="no", reason="said so <b>twice</b>")
        assert "Not profiled" in html
        assert "taken down by Ada: said so &lt;b&gt;twice&lt;/b&gt;." in html
        assert "withdrawn" in html
        assert is_silent_at(dealer)
        assert "Nothing is waiting" in browser.open("/reviews")

        browser.open("/reviews/customer?id=c1")
        dealer.clock.forward(5)
        html = browser.send("/reviews/customer/consent", id="c1", profiling="yes", reason="")
        assert "Not profiled" not in html
        dealer.work()
        assert "left to a person" in browser.open("/reviews/customer?id=c1")


def is_silent_at(dealer: Company) -> bool:
    with dealer.state.service.read() as connection:
        return consent.objecting(connection, ["c1"]) == {"c1"} and store.count_waiting(connection) == 0


def test_the_page_needs_somebody_who_is_signed_in(tmp_path: Path) -> None:
    with company(tmp_path) as dealer:
        dealer.did("c1", "Product Viewed")
        assert "Product" not in dealer.client.get("/reviews/customer?id=c1").text
        dealer.client.post("/reviews/customer/consent", data={"id": "c1", "profiling": "no", "csrf": "x"})
        with dealer.state.service.read() as connection:
            assert consent.objecting(connection, ["c1"]) == set()
        browser = signed_in(dealer)
        browser.open("/reviews/customer?id=c1")
        browser.send("/reviews/customer/consent", id="c1", profiling="no", csrf="forged")
        with dealer.state.service.read() as connection:
            assert consent.objecting(connection, ["c1"]) == set()
