"""The catalogue: every event gets one touchpoint, every touchpoint one stage, and a wrong rule is named."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import Event
from models.journey.touchpoint import STAGES, Catalogue, CatalogueError, Touchpoint, look_up, slug
from training.simulator import EVENT_NAMES, TOUCHPOINTS

DEFAULT = Catalogue.default()
LAST = '  - {channel: other, action: "{event}", stage: convenience}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def touchpoint(name: str, kind: str = "track", catalogue: Catalogue = DEFAULT, **properties: Any) -> Touchpoint:
    found = catalogue.touchpoint(Event("m", kind, name, "u", None, 0, 0, properties))
    assert found is not None
    return found


@pytest.mark.parametrize(("event", "name"), EVENT_NAMES.items())
def test_the_made_up_company_speaks_the_catalogue_s_words(event: str, name: str) -> None:
    for kind in ("track", "page") if name == "web.visit" else ("track",):
        found = touchpoint(event, kind, channel=name.partition(".")[0], text="words", rating=4, value=10)
        assert (found.name, found.stage) == (name, TOUCHPOINTS[name])
        assert found.contact == (name == "email.sent")
        spoken = ("social.comment", "chat.message", "call.complaint", "survey.answer", "review.post")
        assert found.text == ("words" if name in spoken else None)
        assert found.rating == (4 if name in ("survey.answer", "review.post") else None)
        assert found.amount_minor == (1000 if name in ("dealer.purchase", "refund.paid", "dealer.offer") else 0)


def test_calls_that_only_say_who_somebody_is_are_no_touchpoints() -> None:
    for kind in ("identify", "group", "alias"):
        assert DEFAULT.touchpoint(Event("m", kind, "Order Completed", "u", None, 0, 0)) is None


def test_an_event_that_no_rule_names_keeps_its_own_words() -> None:
    assert touchpoint("Home Page!", channel="Organic Search").name == "organic_search.home_page"
    assert touchpoint("", channel="?").name == "other.seen"
    assert touchpoint("ORDER COMPLETED", channel="shop").name == "shop.purchase"


@given(st.text(max_size=80), st.sampled_from(("track", "page", "screen")), st.dictionaries(st.text(), JSON, max_size=4))
def test_any_event_gets_a_touchpoint_of_one_channel_one_action_and_a_known_stage(
    name: str, kind: str, properties: dict[str, Any]
) -> None:
    found = touchpoint(name, kind, **{f"p{key}": value for key, value in properties.items()}, channel=name)
    assert found.stage in STAGES
    assert found.name.count(".") == 1
    assert found.channel
    assert found.action


@given(JSON)
def test_any_amount_rating_text_and_channel_is_taken_or_left(value: Any) -> None:
    found = touchpoint("Anything", channel=value, value=value, rating=value, text=value)
    assert abs(found.amount_minor) <= 10**13
    assert found.rating in (None, 1, 2, 3, 4, 5)
    assert found.text is None or found.text == value


@given(st.decimals(-(10**11), 10**11, places=2, allow_nan=False))
def test_money_is_whole_hundredths_exactly(amount: Decimal) -> None:
    assert touchpoint("Order Completed", channel="shop", value=str(amount)).amount_minor == amount * 100


@pytest.mark.parametrize("amount", [None, True, "", "free", "1e999999", "9" * 100, 10**13, float("inf"), [5], {"a": 1}])
def test_what_is_no_amount_or_beyond_all_bounds_counts_as_none(amount: Any) -> None:
    assert touchpoint("Order Completed", channel="shop", value=amount).amount_minor == 0


def test_whole_stars_are_read_from_numbers_and_text_alike() -> None:
    found = [
        touchpoint("Survey Answered", rating=rating).rating for rating in (5, 5.0, "5", "5.0", 4.5, 0, 6, True, "")
    ]
    assert found == [5, 5, 5, 5, None, None, None, None, None]


def test_blank_words_are_no_feedback() -> None:
    assert touchpoint("Survey Answered", text=" \n ").text is None


def test_a_touchpoint_has_one_stage_whichever_rule_found_it() -> None:
    """Else one customer's journey would change with what others in the batch did."""
    by_rule, by_its_own_words = touchpoint("Order Completed", channel="shop"), touchpoint("Purchase!", channel="shop")
    assert by_rule.name == by_its_own_words.name == "shop.purchase"
    assert by_rule.stage == by_its_own_words.stage == "sale"
    assert touchpoint("Complaint", channel="call").stage == "post_sale"


def test_paths_lead_through_properties_and_context_and_end_gently() -> None:
    event = Event("m", "page", "Home", "u", None, 0, 0, {"a": {"b": 0}, "n": None}, {"page": {"url": "/x"}})
    paths = ("event", "kind", "properties.a.b", "context.page.url", "properties.a.b.c", "properties.n", "properties.x")
    assert [look_up(event, path) for path in paths] == ["Home", "page", 0, "/x", "", "", ""]


@given(st.text())
def test_a_slug_is_short_and_has_no_dot(text: str) -> None:
    word = slug(text, "other")
    assert 0 < len(word) <= 60
    assert "." not in word
    assert word == word.strip("_")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[]", r"needs a list called 'rules' with at least one"),
        ("\n  - 5", r"rule 1 is no mapping, but 5; allowed keys: kind, event"),
        ("\n  - {chanel: web, action: a, stage: sale}", r"rule 1: unknown key 'chanel'; allowed: kind, event, where"),
        ("\n  - {action: a, stage: sale}", r"rule 1: channel None; every rule says"),
        ("\n  - {channel: web, action: [a], stage: sale}", r"rule 1: action \['a'\]; every rule says"),
        ("\n  - {channel: web, action: a, stage: sales}", r"rule 1: stage 'sales'; allowed: convenience, sale"),
        ("\n  - {channel: web, action: a}", r"rule 1: stage None; allowed: convenience, sale, post_sale"),
        ("\n  - {channel: web.shop, action: a, stage: sale}", r"rule 1: channel 'web.shop' \(did you mean 'web_shop'"),
        ("\n  - {channel: '{propertys.x}', action: a, stage: sale}", r"channel: path 'propertys.x'; allowed: event"),
        ("\n  - {channel: web, action: a, stage: sale, text: properties}", r"rule 1: text: path 'properties'; allowed"),
        ("\n  - {channel: web, action: a, stage: sale, amount: 5}", r"rule 1: amount: path 5; allowed"),
        ("\n  - {channel: web, action: a, stage: sale, contact: 'no'}", r"rule 1: contact 'no'; allowed: true, false"),
        ("\n  - {channel: web, action: a, stage: sale, where: [x]}", r"rule 1: where \['x'\]; allowed: a mapping"),
        ("\n  - {channel: web, action: a, stage: sale, where: {x: y}}", r"rule 1: where: path 'x'; allowed"),
        ("\n  - {channel: web, action: a, stage: sale, where: {event: []}}", r"rule 1: event \[\]; allowed: a value"),
        ("\n  - {channel: web, action: a, stage: sale, where: {event: }}", r"rule 1: event None; allowed: a value"),
        ("\n  - {event: [], channel: web, action: a, stage: sale}", r"rule 1: event \[\]; allowed: a value or a list"),
        ("\n  - {kind: pages, channel: web, action: a, stage: sale}", r"rule 1: kind 'pages'; allowed: track, page"),
        ("\n  - {event: x, channel: web, action: a, stage: sale}", r"rule 1 is the last and must match every event"),
    ],
)
def test_a_wrong_rule_is_named_with_its_key_value_and_what_is_allowed(rules: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        Catalogue.parse(f"rules: {rules}")


def test_a_rule_is_named_by_its_place() -> None:
    with pytest.raises(CatalogueError, match="rule 2: stage 'later'"):
        Catalogue.parse(f"rules:\n{LAST}\n  - {{channel: a, action: b, stage: later}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "no YAML"), ("", "'rules'"), ("rules: 5", "'rules'"), (f"rule: 1\nrules:\n{LAST}", "'rule'")],
)
def test_a_wrong_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        Catalogue.parse(text)


def test_a_catalogue_file_is_named_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"mine\.yaml: cannot be read"):
        Catalogue.load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogueError, match=r"mine\.yaml: cannot be read"):
        Catalogue.load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("rules: []")
    with pytest.raises(CatalogueError, match=r"mine\.yaml: line 1: the catalogue needs"):
        Catalogue.load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(f"rules:\n{LAST}")
    assert touchpoint("Hello", catalogue=Catalogue.load(tmp_path / "mine.yaml")).name == "other.hello"


def test_where_takes_any_of_its_values_in_any_case() -> None:
    rule = "  - {where: {properties.vip: true, event: [A, b]}, channel: vip, action: seen, stage: sale}"
    mine = Catalogue.parse(f"rules:\n{rule}\n{LAST}")
    assert [touchpoint(name, catalogue=mine, vip=True).channel for name in ("a", "B", "c")] == ["vip", "vip", "other"]
    assert touchpoint("a", catalogue=mine, vip=False).channel == "other"


def test_a_rule_may_name_the_scale_of_its_rating() -> None:
    event = Event("m1", "track", "NPS Answered", "c1", None, 0, 0, {"score": "9", "text": "Good"})
    point = Catalogue.default().touchpoint(event)

    assert point is not None
    assert (point.rating, point.rated, point.scale) == (5, 9, "0-10")


def test_a_scale_that_is_none_is_a_mistake_with_its_line() -> None:
    with pytest.raises(CatalogueError, match="scale '10'; allowed: worst-best"):
        Catalogue.parse("rules:\n  - {channel: a, action: b, stage: sale, rating: properties.r, scale: '10'}\n")
