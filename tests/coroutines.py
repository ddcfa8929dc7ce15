"""Runs a coroutine to its end from a test, whatever loop runs in the test's thread: a browser's driver keeps one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Told = TypeVar("Told")


def finished(coroutine: Coroutine[Any, Any, Told]) -> Told:
    """What it returns, or raises."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, coroutine).result()
