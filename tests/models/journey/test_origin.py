"""Where a visit came from: campaigns, click ids and referrers become channels as web analytics names them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.event import Event
from models.journey.origin import look_up
from models.journey.touchpoint import Catalogue

DEFAULT = Catalogue.default()
SITE = "https://www.example.org/cars"


def visit(url: str = SITE, referrer: str = "", **campaign: str) -> Event:
    context: dict[str, Any] = {"page": {"url": url, "referrer": referrer}, "library": {"name": "analytics.js"}}
    if campaign:
        context["campaign"] = campaign
    return Event("m", "page", "Home", None, "dev", 0, 0, {}, context)


def channel(event: Event) -> str:
    found = DEFAULT.touchpoint(event)
    assert found is not None
    assert (found.action, found.stage, found.contact) == ("visit", "convenience", False)
    return found.channel


@pytest.mark.parametrize(
    ("source", "medium", "expected"),
    [
        ("google", "cpc", "paid_search"),
        ("Bing", "PPC", "paid_search"),
        ("facebook", "paid_social", "paid_social"),
        ("instagram", "cpm", "paid_social"),
        ("somewhere", "cpm", "display"),
        ("somewhere", "banner", "display"),
        ("somewhere", "cpc", "paid_other"),
        ("amazon", "cpc", "paid_shopping"),
        ("youtube", "video", "video"),
        ("youtube", "cpc", "paid_video"),
        ("google", "organic", "organic_search"),
        ("ecosia.org", "", "organic_search"),
        ("linkedin", "", "social"),
        ("spring", "social-media", "social"),
        ("spring", "email", "email"),
        ("newsletter", "", "email"),
        ("partner", "affiliate", "affiliate"),
        ("partner", "referral", "referral"),
        ("direct", "(none)", "direct"),
        ("app", "mobile-push", "push"),
        ("app", "sms", "sms"),
        ("podcast", "audio", "audio"),
    ],
)
def test_a_campaign_brings_its_channel_whether_the_client_tells_it_or_the_address(
    source: str, medium: str, expected: str
) -> None:
    assert channel(visit(source=source, medium=medium)) == expected
    assert channel(visit(f"{SITE}?utm_source={source}&utm_medium={medium}")) == expected


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        ("https://www.google.de/", "organic_search"),
        ("https://duckduckgo.com/?q=car", "organic_search"),
        ("android-app://com.google.android.gm/", "referral"),
        ("https://m.facebook.com/", "social"),
        ("https://t.co/x", "social"),
        ("https://www.youtube.com/watch", "video"),
        ("https://news.example/article", "referral"),
        ("https://www.example.org/before", "web"),
        ("https://shop.example.org/", "web"),
        ("", "web"),
        ("no address", "web"),
    ],
)
def test_a_site_that_led_here_is_told_by_its_host_and_our_own_is_none(referrer: str, expected: str) -> None:
    assert channel(visit(referrer=referrer)) == expected


def test_a_campaign_goes_before_the_site_that_led_here() -> None:
    assert channel(visit(referrer="https://www.google.de/", source="spring", medium="email")) == "email"


def test_a_click_id_of_an_advertisement_is_paid_search() -> None:
    assert channel(visit(f"{SITE}?gclid=abc", referrer="https://www.google.de/")) == "paid_search"


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("analytics-ios", "app"),
        ("analytics-kotlin", "app"),
        ("RudderLabs JavaScript SDK", "web"),
        ("analytics.js", "web"),
        ("@segment/analytics-node", ""),
        ("", ""),
    ],
)
def test_the_kind_of_client_is_told_by_its_library(library: str, expected: str) -> None:
    event = Event("m", "track", "Product Viewed", None, "dev", 0, 0, {}, {"library": {"name": library}})
    assert look_up(event, "client") == expected
    found = DEFAULT.touchpoint(event)
    assert found is not None
    assert found.name == f"{expected or 'other'}.view"


@given(st.text(), st.text())
def test_any_address_is_read_or_left(url: str, referrer: str) -> None:
    for path in ("source", "medium", "client", "url.host", "url.path", "url.query.gclid", "referrer.host"):
        assert isinstance(look_up(visit(url, referrer), path), str)
