"""Columns put in order by numpy are the journeys that sorting touchpoint by touchpoint gives."""

from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from models.journey.arranging import Rows, arranged
from models.journey.assembly import Step, columns
from models.journey.touchpoint import Touchpoint

POINTS = [
    Touchpoint("web", "visit", "convenience"),
    Touchpoint("email", "sent", "convenience", contact=True),
    Touchpoint("shop", "purchase", "sale", amount_minor=990),
]
STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(["a", "b", "ab", "ä", ""]), st.integers(0, 3), st.integers(0, 3),
        st.integers(0, 10**6).map("m{}".format), st.sampled_from(POINTS),
    ),
    max_size=40, unique_by=lambda step: step.message_id,
)  # fmt: skip


def rows_of(steps: list[Step]) -> Rows:
    def numbers(values: list[int]) -> Any:
        return np.array(values, dtype=np.int64)

    return Rows(
        pa.array([one.customer_id for one in steps], pa.string()),
        pa.array([one.message_id for one in steps], pa.string()),
        pa.array([one.touchpoint.name for one in steps], pa.string()),
        numbers([one.occurred_at for one in steps]),
        numbers([one.known_at for one in steps]),
        numbers([one.touchpoint.amount_minor for one in steps]),
        np.array([one.touchpoint.contact for one in steps], dtype=np.bool_),
    )


@given(STEPS)
def test_it_is_what_sorting_touchpoint_by_touchpoint_gives(steps: list[Step]) -> None:
    quick, plain = arranged(rows_of(steps), {point.name: point.stage for point in POINTS}), columns(steps)
    for field in fields(plain):
        ours, theirs = getattr(quick, field.name), getattr(plain, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, field.name)
            assert ours.dtype == theirs.dtype, field.name
        else:
            assert ours == theirs, field.name
