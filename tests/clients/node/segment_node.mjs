// Sends one call of each kind and many track calls by @segment/analytics-node: URL KEY CUSTOMER TRACKS.
import { Analytics } from "@segment/analytics-node";

const [url, writeKey, userId, tracks] = process.argv.slice(2);
const client = new Analytics({ writeKey, host: url, flushAt: 20 });
client.identify({ userId, traits: { plan: "family" } });
client.group({ userId, groupId: "g-1", traits: { name: "Car Club" } });
client.page({ userId, category: "Models", name: "Estate" });
client.screen({ userId, category: "Models", name: "Estate" });
client.alias({ userId, previousId: `${userId}-before` });
for (let number = 0; number < Number(tracks); number++) {
  client.track({ userId, event: "Product Viewed", properties: { channel: "web", number } });
}
await client.closeAndFlush();
