"""Reading the file: every mistake is found in one run, with its line, and the digest is of what the rules say."""

from __future__ import annotations

import pytest

from models.journey.advice import shadowed, suggest
from models.journey.event import Event
from models.journey.rulefile import CatalogueError, read_rules
from models.journey.touchpoint import Catalogue

LAST = '  - {channel: other, action: "{event}", stage: convenience}'


def mistakes(text: str) -> list[tuple[int, int | None, str | None]]:
    with pytest.raises(CatalogueError) as caught:
        read_rules(text)
    return [(one.line, one.rule, one.key) for one in caught.value.mistakes]


def test_every_mistake_is_told_at_once_with_its_line_rule_and_key() -> None:
    text = f"""rules:
  - event: A
    channel: web
    action: a.b
    stage: later
  - {{chanel: x, channel: web, action: a, stage: sale}}
{LAST}
"""
    assert mistakes(text) == [(4, 1, "action"), (5, 1, "stage"), (6, 2, "chanel")]


def test_a_key_that_is_there_twice_is_a_mistake() -> None:
    assert mistakes("rules:\n  - channel: a\n    channel: b\n    action: a\n    stage: sale") == [(3, 1, "channel")]


def test_a_file_that_is_no_yaml_is_told_with_its_line() -> None:
    assert mistakes("rules:\n  - {channel: [web") == [(2, None, None)]


def test_lists_are_used_by_anchors_and_looked_at() -> None:
    given = f"""lists:
  shops: &shops [a.example, b.example]
rules:
  - {{where: {{referrer.host: *shops}}, channel: shop, action: visit, stage: sale}}
{LAST}"""
    event = Event("m", "page", "", None, "d", 0, 0, {"referrer": "https://b.example/x"})
    found = Catalogue.parse(given).touchpoint(event)
    assert found is not None
    assert found.name == "shop.visit"
    assert mistakes(given.replace("[a.example, b.example]", "{a: 1}"))[0] == (2, None, None)


def test_names_and_values_may_have_stars() -> None:
    rule = '  - {event: "Video *", where: {properties.title: "*"}, channel: video, action: play, stage: convenience}'
    mine = Catalogue.parse(f"rules:\n{rule}\n{LAST}")
    names = [
        mine.touchpoint(Event("m", "track", name, "u", None, 0, 0, {"title": title}))
        for name, title in (("video Started", "x"), ("Video Started", ""), ("Videos", "x"), ("Video [a]?", "x"))
    ]
    assert [point.channel for point in names if point] == ["video", "other", "other", "video"]


def test_letters_that_mean_something_in_patterns_mean_themselves() -> None:
    mine = Catalogue.parse(f'rules:\n  - {{event: "a[b]?.*", channel: x, action: a, stage: sale}}\n{LAST}')
    points = [mine.touchpoint(Event("m", "track", name, "u", None, 0, 0)) for name in ("A[b]?.c", "ab.c", "a[b]xx")]
    assert [point.channel for point in points if point] == ["x", "other", "other"]


def test_the_digest_changes_with_the_rules_and_not_with_how_they_are_written() -> None:
    one = Catalogue.parse(f"rules:\n{LAST}")
    same = Catalogue.parse('# why\nrules:\n  - stage: convenience\n    action: "{event}"\n    channel: other')
    other = Catalogue.parse(f"rules:\n{LAST.replace('other', 'some')}")
    assert one.digest == same.digest != other.digest


def test_a_rule_is_shadowed_whole_by_names_or_not_at_all() -> None:
    text = f"""rules:
  - {{event: [A, B], kind: track, channel: x, action: a, stage: sale}}
  - {{event: [A, C], channel: x, action: a, stage: sale}}
  - {{event: [A, C], kind: track, channel: x, action: a, stage: sale}}
  - {{event: D, where: {{source: [a, b]}}, channel: x, action: a, stage: sale}}
  - {{event: D, where: {{source: a, medium: c}}, channel: x, action: a, stage: sale}}
  - {{event: D, channel: x, action: a, stage: sale}}
{LAST}"""
    found = [(one.rule.number, one.by, one.names, one.whole) for one in shadowed(Catalogue.parse(text))]
    assert found == [(3, (1, 2), ("a", "c"), True), (5, (4,), ("d",), True)]


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("Produkt Viewed", (), "view"),
        ("order_completed", (), "purchase"),
        ("Anruf", ("duration",), "anruf"),
        ("Zufriedenheit", ("Stars", "comment"), "rating: properties.Stars"),
        ("Kauf", ("revenue",), "amount: properties.revenue"),
        ("Konfigurator", ("url",), "channel: web"),
        ("odd: {x}, #*", ("a.b", "value|x"), "odd_x"),
    ],
)
def test_a_suggested_rule_can_be_pasted_and_takes_the_event(
    name: str, properties: tuple[str, ...], expected: str
) -> None:
    found = suggest(Catalogue.default(), name, properties)
    assert expected in found.rule
    mine = Catalogue.parse(f"rules:\n  {found.rule}\n{LAST}")
    point = mine.touchpoint(Event("m", "track", name, "u", None, 0, 0))
    assert point is not None
    assert point.rule == 1
