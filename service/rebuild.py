"""`python -m service rebuild`: delete all that was folded and fold the log again, to the same rows.

Events, feedback, conclusions, verdicts and keys stay; insights are concluded again by the worker.
"""

from __future__ import annotations

from service.events import projector
from service.insights.store import forget_insights
from service.state import State


def rebuild(state: State) -> int:
    """Says how many rows of the log were folded. Cut off in the middle, the worker folds on from there."""
    with state.service.write() as connection:
        projector.forget_folded(connection)
        forget_insights(connection)
    return projector.fold_all(state)
