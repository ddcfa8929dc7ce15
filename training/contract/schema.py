"""The shape of every row: types, ranges and words that are allowed, by pandera; each failing row is shown.

The readers of files (data.py, models/journey/eventlog.py) refuse what they cannot read; this is about what can be read
and cannot be true: touchpoints of the future, one id with two texts.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pandera.pandas as pa

from models.journey.event import EARLIEST, Micros, format_time
from models.journey.journeys import Journeys
from models.predictors.feedback import NUANCES, POLARITIES
from training.contract.finding import Finding, rows_of
from training.policies import ContractPolicy

LONGEST_TEXT = 100_000


def touchpoints_frame(journeys: Journeys) -> pd.DataFrame:
    """A touchpoint a row: customer_id, touchpoint, occurred_at and known_at in microseconds, amount_minor."""
    return pd.DataFrame(
        {
            "customer_id": [journeys.customers[row] for row in journeys.owner],
            "touchpoint": [journeys.names[code] for code in journeys.code],
            "occurred_at": journeys.occurred_at,
            "known_at": journeys.known_at,
            "amount_minor": journeys.amount_minor,
        }
    )


def of_touchpoints(journeys: Journeys, policy: ContractPolicy, now: Micros) -> Iterator[Finding]:
    """Rows of a log that cannot be true."""
    latest = now + int(policy.future_minutes * 60_000_000)
    moment = pa.Check.in_range(EARLIEST, latest)
    moment.error = f"lies after {format_time(latest)}: in the future"
    schema = pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, pa.Check.str_length(min_value=1)),
            "touchpoint": pa.Column(str, pa.Check.str_matches(r"^[^.]+\..+$")),
            "occurred_at": pa.Column("int64", moment),
            "known_at": pa.Column("int64"),
            "amount_minor": pa.Column("int64"),
        }
    )
    yield from _broken("events", schema, touchpoints_frame(journeys))


def of_texts(frame: pd.DataFrame, policy: ContractPolicy, now: Micros) -> Iterator[Finding]:
    """Rows of feedback that cannot be true."""
    latest = now + int(policy.future_minutes * 60_000_000)
    moment = pa.Check.le(latest)
    moment.error = f"lies after {format_time(latest)}: in the future"
    optional = {
        "said_at": pa.Column("Int64", moment, nullable=True, required=False),
        "rating": pa.Column("float64", pa.Check.in_range(1, 5), nullable=True, required=False),
        "polarity": pa.Column(None, pa.Check.isin([*POLARITIES, None]), nullable=True, required=False),
        "nuance": pa.Column(None, pa.Check.isin([*NUANCES, None]), nullable=True, required=False),
        "intensity": pa.Column("float64", pa.Check.in_range(-4, 4), nullable=True, required=False),
    }
    schema = pa.DataFrameSchema(
        {"feedback_id": pa.Column(str), "text": pa.Column(str, pa.Check.str_length(1, LONGEST_TEXT)),
         "weight": pa.Column("float64", pa.Check.ge(0)), **optional}
    )  # fmt: skip
    yield from _broken("feedback", schema, frame)
    texts = frame.groupby("feedback_id")["text"].transform("nunique")
    if (texts > 1).any():
        rows = rows_of(frame[texts > 1].sort_values("feedback_id"), "feedback_id", "text", "polarity")
        told = f"{int((texts > 1).sum())} rows share a feedback_id with another text"
        yield Finding("schema of feedback", "stop", told, "Give each text an id of its own.", rows)


def _broken(name: str, schema: pa.DataFrameSchema, frame: pd.DataFrame) -> Iterator[Finding]:
    """A finding for each check of each column that rows fail."""
    try:
        schema.validate(frame, lazy=True)
        return
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    for (column, check), failing in cases.groupby(["column", "check"], dropna=False, sort=True):
        numbers = [int(index) for index in failing["index"].dropna()]
        shown = frame.iloc[numbers[:5]].assign(row=[number + 1 for number in numbers[:5]])
        told = f"{column} of {len(failing)} rows {check}, such as {failing['failure_case'].iloc[0]!r:.60}"
        rows = rows_of(shown, "row", *dict.fromkeys(["feedback_id", "customer_id", "touchpoint", str(column), "text"]))
        yield Finding(f"schema of {name}", "stop", told, "Mend or leave out these rows.", rows)
