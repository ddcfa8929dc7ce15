"""Sends one call of each kind and many track calls by rudder-sdk-python: URL KEY CUSTOMER TRACKS."""

import sys

from rudderstack.analytics.client import Client

url, key, customer, tracks = sys.argv[1:]
client = Client(key, host=url, upload_size=20)
client.identify(customer, {"plan": "family"})
client.group(customer, "g-1", {"name": "Car Club"})
client.page(customer, "Models", "Estate")
client.screen(customer, "Models", "Estate")
client.alias(f"{customer}-before", customer)
for number in range(int(tracks)):
    client.track(customer, "Product Viewed", {"channel": "web", "number": number})
client.flush()
client.join()
