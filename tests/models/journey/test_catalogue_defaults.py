"""The catalogue that comes along knows every event name that Segment publishes, and leaves no rule without work."""

from __future__ import annotations

import pytest

from models.journey.advice import shadowed
from models.journey.event import Event
from models.journey.touchpoint import Catalogue

DEFAULT = Catalogue.default()
SEGMENT = {
    "e-commerce": """
        Products Searched, Product List Viewed, Product List Filtered, Promotion Viewed, Promotion Clicked,
        Product Clicked, Product Viewed, Product Added, Product Removed, Cart Viewed, Checkout Started,
        Checkout Step Viewed, Checkout Step Completed, Payment Info Entered, Order Completed, Order Updated,
        Order Refunded, Order Cancelled, Coupon Entered, Coupon Applied, Coupon Denied, Coupon Removed,
        Product Added to Wishlist, Product Removed from Wishlist, Wishlist Product Added to Cart,
        Product Shared, Cart Shared, Product Reviewed, Viewed Product Category, Clicked Product,
        Viewed Product, Added Product, Removed Product, Completed Order, Viewed Promotion, Clicked Promotion,
        Viewed Checkout Step, Completed Checkout Step, Updated Order""",
    "e-mail": """
        Email Bounced, Email Delivered, Email Link Clicked, Email Marked as Spam, Email Opened, Unsubscribed""",
    "live chat": """
        Live Chat Conversation Started, Live Chat Conversation Ended, Live Chat Message Sent,
        Live Chat Message Received""",
    "mobile": """
        Application Installed, Application Opened, Application Backgrounded, Application Updated,
        Application Uninstalled, Application Crashed, Install Attributed, Push Notification Received,
        Push Notification Tapped, Push Notification Bounced, Deep Link Opened, Deep Link Clicked""",
    "the rest of a journey": """
        Call Received, Complaint Called In, Support Called, Shop Visited, Dealer Visited, Order Shipped,
        Order Delivered, Delivery Failed, Service Visited, Survey Answered, Review Posted""",
}


@pytest.mark.parametrize("names", SEGMENT.values(), ids=SEGMENT)
def test_every_published_name_has_a_rule(names: str) -> None:
    for name in names.split(","):
        found = DEFAULT.touchpoint(Event("m", "track", " ".join(name.split()), "u", None, 0, 0, {"channel": "web"}))
        assert found is not None
        assert 0 < found.rule < len(DEFAULT.rules), name


def test_no_rule_takes_what_an_earlier_one_has() -> None:
    assert shadowed(DEFAULT) == []


def test_what_an_agent_writes_in_a_chat_is_a_contact_and_no_words_of_the_customer() -> None:
    event = Event(
        "m", "track", "Live Chat Message Received", "u", None, 0, 0, {"message_body": "Hello", "text": "Hello"}
    )
    found = DEFAULT.touchpoint(event)
    assert found is not None
    assert (found.name, found.contact, found.text) == ("chat.reply", True, None)


def test_the_money_of_an_order_is_found_where_shops_put_it() -> None:
    for properties in ({"value": 5}, {"total": 5}, {"revenue": 5}, {"value": 5, "total": 9}):
        found = DEFAULT.touchpoint(Event("m", "track", "Order Completed", "u", None, 0, 0, properties))
        assert found is not None
        assert found.amount_minor == 500
