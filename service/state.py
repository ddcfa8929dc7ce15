"""What every route needs, handed in by the factory: settings, both databases, the clock, ids and the catalogue.

Holds no bundle (live/ does) and no logic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from fastapi import Request

from models.journey.touchpoint import Catalogue
from service.clock import Clock, Ids, random_id
from service.database import Database
from service.settings import Settings


@dataclass(frozen=True)
class State:
    """The parts of a running service below its nouns."""

    settings: Settings
    log: Database
    service: Database
    clock: Clock
    ids: Ids
    catalogue: Catalogue


@contextmanager
def open_state(settings: Settings, clock: Clock, ids: Ids = random_id) -> Iterator[State]:
    """Read the catalogue, open and migrate both databases; close them at the end."""
    catalogue = Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()
    log = Database.open(settings.data_dir, "log")
    try:
        service = Database.open(settings.data_dir, "service")
        try:
            yield State(settings, log, service, clock, ids, catalogue)
        finally:
            service.close()
    finally:
        log.close()


def state_of(request: Request) -> State:
    """FastAPI dependency: the state of the app that answers this request."""
    return cast(State, request.app.state.service)
