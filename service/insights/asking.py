"""Requests for predictions on their way to the live bundle, gathered: see gathering.py. Reads no body."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from fastapi import Request

from models.insight import Insight
from service.errors import Problem
from service.insights.asked import PredictionsIn
from service.insights.gathering import Gatherer
from service.insights.predictions import Predictions, Rows
from service.live.bundles import Live, LiveBundles
from service.state import State

TOGETHER = 32
"""Journeys concluded in one go: with more a net is hardly quicker for each, and who comes next waits longer."""
LOOK_SECONDS = 0.1
"""A look at which bundle is live is waited for so long; a new one is loaded while the old one answers on."""

Answers = list[list[Insight] | Problem]


class Asking:
    """Few journeys without words take milliseconds and are concluded at once, in the thread that talks to the callers:
    two threads that both compute would hand the interpreter's lock to and fro. All others have a thread of their own.
    """

    def __init__(self, state: State, bundles: LiveBundles) -> None:
        self._predictions, self._bundles = Predictions(state), bundles
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predictions")
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="bundles")
        most, seconds = state.settings.predictions_waiting, state.settings.predictions_wait_seconds
        self._few = Gatherer(self._answer, TOGETHER, most, seconds)
        self._many = Gatherer(self._answer_apart, 1, most, seconds)

    async def ask(self, given: PredictionsIn) -> list[Insight]:
        """An insight for each journey, in order. Raises what is wrong with them, or Unavailable."""
        self._predictions.check(given)
        many = given.explain or len(given.journeys) > TOGETHER or any(one.feedback for one in given.journeys)
        return await (self._many if many else self._few).ask(given, len(given.journeys))

    async def _answer(self, asked: Sequence[PredictionsIn]) -> Answers:
        live, read = await self._live(), self._predictions.read(asked)
        if any(isinstance(one, Rows) and one.has_words for one in read):
            return await self._apart(live, read, explain=False)
        return self._predictions.conclude(live, read)

    async def _answer_apart(self, asked: Sequence[PredictionsIn]) -> Answers:
        live = await self._live()
        read = await asyncio.get_running_loop().run_in_executor(self._thread, self._predictions.read, asked)
        return await self._apart(live, read, explain=asked[0].explain)

    async def _apart(self, live: Live, read: Sequence[Rows | Problem], *, explain: bool) -> Answers:
        loop, conclude = asyncio.get_running_loop(), self._predictions.conclude
        return await loop.run_in_executor(self._thread, lambda: conclude(live, read, explain=explain))

    async def _live(self) -> Live:
        if self._bundles.due:
            look = asyncio.get_running_loop().run_in_executor(self._looks, self._bundles.now)
            await asyncio.wait([look], timeout=LOOK_SECONDS)
        return self._bundles.serving

    def close(self) -> None:
        for one in (self._thread, self._looks):
            one.shutdown(wait=False, cancel_futures=True)


def asking_of(request: Request) -> Asking:
    """FastAPI dependency: where the app's requests for predictions go."""
    return cast(Asking, request.app.state.asking)
