// Sends one call of each kind and many track calls by @rudderstack/rudder-sdk-node: URL KEY CUSTOMER TRACKS.
import RudderAnalytics from "@rudderstack/rudder-sdk-node";

const [url, writeKey, userId, tracks] = process.argv.slice(2);
const client = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushAt: 20, retryCount: 10 });
client.identify({ userId, traits: { plan: "family" } });
client.group({ userId, groupId: "g-1", traits: { name: "Car Club" } });
client.page({ userId, category: "Models", name: "Estate" });
client.screen({ userId, category: "Models", name: "Estate" });
client.alias({ userId, previousId: `${userId}-before` });
for (let number = 0; number < Number(tracks); number++) {
  client.track({ userId, event: "Product Viewed", properties: { channel: "web", number } });
}
// One flush sends one batch.
while (client.queue.length > 0) await client.flush();
await client.pendingFlush;
