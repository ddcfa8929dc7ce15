"""Questions that come at once are answered together, one group after the other.

A net asked about thirty journeys takes little longer than about one, so whoever waits while one group is answered goes
into the next. Nobody waits for company: a question alone is answered alone, at once. Who would wait too long is told so
at once, by the pace of the groups before. Knows no journey and no HTTP.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import Unavailable

LEARNED = 0.2
"""What the latest group counts for in the pace of answering."""

Asked = TypeVar("Asked")
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Asked, Told]):
    asked: Asked
    size: int
    future: asyncio.Future[Told | Exception]


class Gatherer(Generic[Asked, Told]):
    """`answer` gets a group of questions and gives an answer, or a Problem, for each, in order.

    A group holds questions of at most `most_together` in size, or a single larger one. While questions of
    `most_waiting` in size wait, or so many that at the present pace the next would wait for over `most_seconds`, it is
    refused with Unavailable, which says when to come again.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], Awaitable[Sequence[Told | Exception]]],
        most_together: int,
        most_waiting: int,
        most_seconds: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answer, self._together, self._most = answer, most_together, most_waiting
        self._most_seconds, self._monotonic = most_seconds, monotonic
        self._pace = 0.0  # seconds for a size of 1; 0 until it is known
        self._waiting: deque[_Waiting[Asked, Told]] = deque()
        self._size = 0
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Asked, size: int) -> Told:
        """The answer. Raises what is wrong with the question, or Unavailable."""
        seconds = self._size * self._pace
        if self._waiting and (self._size + size > self._most or seconds > self._most_seconds):
            raise Unavailable(f"Predictions of {self._size} journeys wait already.",
                              retry_seconds=max(1, math.ceil(seconds)))  # fmt: skip
        one: _Waiting[Asked, Told] = _Waiting(question, size, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._size += size
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        found = await one.future
        if isinstance(found, Exception):
            raise found
        return found

    async def _work(self) -> None:
        try:
            while group := self._next():
                questions, began = [one.asked for one in group], self._monotonic()
                try:
                    answers = await self._answer(questions)
                except Exception as error:
                    answers = [error] * len(group)  # whoever asked is told of it
                for one, answer in zip(group, answers, strict=True):
                    if not one.future.done():
                        one.future.set_result(answer)
                self._learn(sum(one.size for one in group), self._monotonic() - began)
                await self._let_in()
        finally:
            self._working = None

    def _learn(self, size: int, seconds: float) -> None:
        """The pace while questions wait. One that is alone is answered at a pace of its own, slower for its size."""
        if self._waiting:
            latest = seconds / size
            self._pace = latest if self._pace == 0 else (1 - LEARNED) * self._pace + LEARNED * latest

    async def _let_in(self) -> None:
        """The answers go out, and who asks meanwhile joins the next group, while there are some who do."""
        before = -1
        while len(self._waiting) > before:
            before = len(self._waiting)
            await asyncio.sleep(0)

    def _next(self) -> list[_Waiting[Asked, Told]]:
        """The longest waiting, of whom nobody has gone away meanwhile."""
        group: list[_Waiting[Asked, Told]] = []
        size = 0
        while self._waiting and (not group or size + self._waiting[0].size <= self._together):
            one = self._waiting.popleft()
            self._size -= one.size
            if not one.future.done():
                group.append(one)
                size += one.size
        return group
