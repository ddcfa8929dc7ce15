"""What all commands share: settings from the environment, the open databases, progress, and errors told in one line.

Alone reads the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from models.journey.eventlog import EventLogError
from models.journey.touchpoint import CatalogueError
from models.policy import PolicyError
from service import logs
from service.clock import random_id, system_clock
from service.errors import Problem
from service.events.history import RowsRefused
from service.settings import Settings
from service.state import State, open_state

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON on stdout.")]


@contextmanager
def progress(*counted: str) -> Iterator[Callable[..., None]]:
    """Counts on stderr, in place on a terminal and only once, at the end, elsewhere."""
    console, told = Console(stderr=True), ""

    def tell(*counts: int) -> None:
        nonlocal told
        told = ", ".join(f"{count:,} {name}" for count, name in zip(counts, counted, strict=True))
        status.update(told)

    with console.status("") as status:
        yield tell
    if told:
        console.print(told, style="dim")


def settings_of(**given: str | int | None) -> Settings:
    """From the environment, with what the command line says over it."""
    for name in sorted({"JOURNEY_ALPHA", "JOURNEY_DELTA", "JOURNEY_COVERAGE"} & os.environ.keys()):
        print(f"{name} is no setting any more: write it into a policy file (`python -m service policy show`) and name "
              "that with JOURNEY_POLICY_FILE.", file=sys.stderr)  # fmt: skip
        raise typer.Exit(2)
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        for one in error.errors():
            name = "_".join(map(str, one["loc"])).upper()
            print(f"JOURNEY_{name} {str(one['input'])[:80]!r}: {one['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
    logs.configure(settings.log_level)
    return settings


@contextmanager
def opened() -> Iterator[State]:
    with failing_clearly(), open_state(settings_of(), system_clock, random_id) as state:
        yield state


@contextmanager
def failing_clearly() -> Iterator[None]:
    """A foreseen error is one line on stderr and exit code 2, not a traceback; 1 where nothing but rows was wrong."""
    try:
        yield
    except Problem as problem:
        allowed = f" Allowed: {', '.join(problem.allowed)}." if problem.allowed else ""
        print(f"{problem.message} {problem.fix}{allowed}", file=sys.stderr)
        raise typer.Exit(1 if isinstance(problem, RowsRefused) else 2) from None
    except (CatalogueError, EventLogError, PolicyError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
