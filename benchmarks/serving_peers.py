"""What `benchmarks.serving` stands us beside: FastAPI as it comes, one route each. Measures nothing.

empty     answers `{"status": "ok"}`
echo      reads the body of POST /v1/predictions with pydantic models and gives it back
boosting  the same body, 40 numbers of it, and scikit-learn's gradient boosting

`bare` has the empty route alone: how long FastAPI takes to start.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

COLUMNS, ROWS, ROUNDS = 40, 5_000, 150


class EventIn(BaseModel):
    """One event."""

    event: str = ""
    type: str = "track"
    timestamp: str
    messageId: str | None = None  # noqa: N815 - as the protocol spells it
    channel: str | None = None
    value: float | str | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class JourneyIn(BaseModel):
    """One customer."""

    customer_id: str | None = None
    events: list[EventIn] = []


class PredictionsIn(BaseModel):
    """The body."""

    as_of: str | None = None
    journeys: list[JourneyIn]


def bare() -> FastAPI:
    """For `uvicorn --factory`."""
    made = FastAPI()

    @made.get("/readyz")
    @made.get("/empty")
    async def empty() -> dict[str, str]:
        return {"status": "ok"}

    return made


def app() -> FastAPI:
    """For `uvicorn --factory`."""
    made, model = bare(), _model()

    @made.post("/echo")
    async def echo(given: PredictionsIn) -> PredictionsIn:
        return given

    @made.post("/boosting")
    def boosting(given: PredictionsIn) -> dict[str, list[float]]:
        rows = np.zeros((len(given.journeys), COLUMNS), dtype=np.float32)
        for row, journey in zip(rows, given.journeys, strict=True):
            for event in journey.events:
                row[hash(event.event) % COLUMNS] += 1
        return {"probabilities": model.predict_proba(rows)[:, 1].tolist()}

    return made


def _model() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(7)
    features = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    happened = features[:, 0] + features[:, 1] * features[:, 2] + rng.normal(size=ROWS) > 0
    return HistGradientBoostingClassifier(max_iter=ROUNDS, early_stopping=False).fit(features, happened)
