"""Which served probabilities are kept: of each customer, target and version one in so many hours, with its features.

Answers that follow each other closely would be judged by the same outcome again and again; a setting keeps them all.
What is only a base rate (`abstain`) is no probability of ours and is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from models.insight import Behind, Conclusion, Decision, Insight, ReleasePolicy
from models.journey.event import SECOND, Micros
from service.forecasts import store

Last = Mapping[tuple[str, str, int], Micros]
"""When the newest forecast was made, by customer, target and version."""


def keep(connection: Connection, insight: Insight, policy: ReleasePolicy, last: Last, spacing: Micros) -> int:
    """Keep what is due of an insight that is being written; says how many probabilities."""
    told = {str(one.about.get("definition")): one for one in insight.purchase if one.decision is not Decision.ABSTAIN}
    kept = 0
    for behind in insight.behind:
        name, model = behind.target.name, insight.model
        before = last.get((insight.customer_id, name, model.version))
        if name not in told or model.digest is None or (before is not None and insight.as_of < before + spacing):
            continue
        source = store.Source(model.version, model.digest, policy.digest, behind.target, behind.names)
        store.add(connection, store.source_id(connection, source), _forecast(insight, told[name], behind))
        kept += 1
    return kept


def _forecast(insight: Insight, told: Conclusion, behind: Behind) -> store.Forecast:
    low, high = told.details["interval"]
    return store.Forecast(
        customer_id=insight.customer_id,
        made_at=insight.as_of,
        due_at=insight.as_of + behind.target.horizon_seconds * SECOND,
        probability=told.answer,
        low=low,
        high=high,
        decision=told.decision.value,
        channel=behind.channel,
        stage=insight.journey.stage or "",
        features=behind.values,
    )
