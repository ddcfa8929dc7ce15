"""Whatever fails however often: each webhook gets each customer's changes in their order, and all of them."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from service.database import metadata
from service.delivery import webhooks
from service.outbox.store import Change


@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12),
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_each_customers_changes_arrive_in_order_and_completely(
    customers: list[str | None], outcomes: list[bool], room: int, random: Random
) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine, tables=[webhooks.webhooks, webhooks.deliveries])
    made = [Change(seq, "insight.changed", customer, seq, {}) for seq, customer in enumerate(customers, start=1)]
    arrived: dict[str | None, list[int]] = defaultdict(list)
    verdicts, now = iter(outcomes), 0
    with engine.begin() as connection:
        webhooks.add(connection, "w", "https://example.org/", "", ["insight.changed"], 0, 0)
        webhooks.hand_out(connection, "w", made, len(made), 0)
        webhooks.hand_out(connection, "w", made, len(made), 0)  # again is no harm
        while sum(map(len, arrived.values())) < len(made):
            now += 1
            batch = list(webhooks.due(connection, "w", now, room))
            random.shuffle(batch)  # threads end in any order
            for row in batch:
                succeeds = next(verdicts, True)
                if succeeds:
                    arrived[row.customer_id].append(row.seq)
                due_at = now if succeeds else now + random.randint(1, 5)
                state: webhooks.State = "delivered" if succeeds else "waiting"
                webhooks.settle(connection, [webhooks.Settled("w", row.seq, state, due_at, {})])
    for customer, seqs in arrived.items():
        expected = [one.seq for one in made if one.customer_id == customer]
        assert (sorted(seqs) if customer is None else seqs) == expected
    engine.dispose()
