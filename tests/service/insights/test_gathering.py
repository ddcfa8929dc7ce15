"""Who waits is answered together; who would wait too long is told at once, and when to come again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.errors import Unavailable
from service.insights.gathering import Gatherer
from tests.coroutines import finished


class Slow:
    """Answers a question with itself; each unit of size takes a second of a clock that nobody waits for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.groups: list[list[int]] = []
        self.go_on = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    async def answer(self, sizes: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(sizes))
        await self.go_on.wait()
        self.now += sum(sizes)
        return list(sizes)


async def waiting(gatherer: Gatherer[int, int], sizes: Sequence[int]) -> list[asyncio.Task[int]]:
    """Asked one after the other, the first of them being answered when the others come."""
    asked = []
    for size in sizes:
        asked.append(asyncio.create_task(gatherer.ask(size, size)))
        for _ in range(3):
            await asyncio.sleep(0)
    return asked


def test_questions_that_come_while_one_is_answered_are_answered_together() -> None:
    async def run() -> tuple[list[int], list[list[int]]]:
        slow = Slow()
        gatherer = Gatherer[int, int](slow.answer, 4, 100)
        asked = await waiting(gatherer, [1, 2, 2, 3])
        slow.go_on.set()
        return list(await asyncio.gather(*asked)), slow.groups

    assert finished(run()) == ([1, 2, 2, 3], [[1], [2, 2], [3]])


def test_more_than_may_wait_is_refused() -> None:
    async def run() -> list[int | BaseException]:
        slow = Slow()
        gatherer = Gatherer[int, int](slow.answer, 4, 5)
        asked = await waiting(gatherer, [1, 3, 2, 3])
        slow.go_on.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))

    *told, refused = finished(run())
    assert told == [1, 3, 2]
    assert isinstance(refused, Unavailable)


def test_whoever_would_wait_too_long_at_the_pace_of_those_before_is_told_when_to_come_again() -> None:
    async def run() -> tuple[list[int | BaseException], list[int | BaseException]]:
        slow = Slow()
        gatherer = Gatherer[int, int](slow.answer, 2, 1_000, most_seconds=6, monotonic=slow.monotonic)
        before = await waiting(gatherer, [2, 2, 2])
        slow.go_on.set()
        learned = await asyncio.gather(*before, return_exceptions=True)
        slow.go_on.clear()
        asked = await waiting(gatherer, [2, 4, 4, 1])
        slow.go_on.set()
        return list(learned), list(await asyncio.gather(*asked, return_exceptions=True))

    learned, (*told, refused) = finished(run())
    assert learned == [2, 2, 2]
    assert told == [2, 4, 4]
    assert isinstance(refused, Unavailable)
    assert refused.headers["Retry-After"] == "8"


def test_what_is_slow_alone_is_no_measure_of_those_who_wait() -> None:
    async def run() -> list[int | BaseException]:
        slow = Slow()
        gatherer = Gatherer[int, int](slow.answer, 2, 1_000, most_seconds=0.5, monotonic=slow.monotonic)
        alone = await waiting(gatherer, [1])
        slow.go_on.set()
        await alone[0]
        slow.go_on.clear()
        asked = await waiting(gatherer, [1, 1, 1])
        slow.go_on.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))

    assert finished(run()) == [1, 1, 1]
