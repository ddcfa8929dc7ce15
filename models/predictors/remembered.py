"""Answers that are still known: the latest so many, by the sha256 of a text as every model sees it.

One for each loaded predictor, so that another bundle never answers from it. It holds numbers and no text, and is safe
between threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """At most `most` answers; the one that was not asked for longest goes first.

    >>> known = Remembered[int](1)
    >>> known.keep(["a", "b"], [1, 2])
    >>> known.find(["a", "b"])
    [None, 2]
    """

    def __init__(self, most: int) -> None:
        if most < 0:
            raise ValueError(f"most: {most} answers cannot be remembered; allowed is 0 and more.")
        self.most = most
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    def find(self, keys: Sequence[str]) -> list[Answer | None]:
        """What is known under each key."""
        with self._lock:
            for key in keys:
                if key in self._answers:
                    self._answers.move_to_end(key)
            return [self._answers.get(key) for key in keys]

    def keep(self, keys: Sequence[str], answers: Sequence[Answer]) -> None:
        """Remember answers, and forget the oldest beyond the bound."""
        with self._lock:
            for key, answer in zip(keys, answers, strict=True):
                self._answers[key] = answer
                self._answers.move_to_end(key)
            while len(self._answers) > self.most:
                self._answers.popitem(last=False)

    def __len__(self) -> int:
        return len(self._answers)
