"""What every route needs, handed in by the factory: settings, both databases, the log's writer, the clock, ids, the
catalogue, and how words are masked.

Holds no bundle (live/ does) and no logic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import cast

from fastapi import Request

from models.journey.touchpoint import Catalogue
from service.clock import Clock, Ids, random_id
from service.database import UNFINISHED, Database
from service.errors import Conflict
from service.masking import Masking, masking_of
from service.settings import Settings
from service.writer import Writer


@dataclass(frozen=True)
class State:
    """The parts of a running service below its nouns."""

    settings: Settings
    log: Database
    writer: Writer
    service: Database
    clock: Clock
    ids: Ids
    catalogue: Catalogue
    masking: Masking


@contextmanager
def open_state(settings: Settings, clock: Clock, ids: Ids = random_id) -> Iterator[State]:
    """Read the catalogue and the policy, open and migrate both databases; close them at the end."""
    refuse_half_restored(settings)
    catalogue = catalogue_of(settings)
    settings.promises  # noqa: B018 - a wrong policy file is told now, not with the first answer
    masking = masking_of(settings, catalogue)
    log = Database.open(settings.data_dir, "log", settings.busy_seconds)
    try:
        service = Database.open(settings.data_dir, "service", settings.busy_seconds)
        try:
            with closing(Writer(log, settings.requests_waiting)) as writer:
                yield State(settings, log, writer, service, clock, ids, catalogue, masking)
        finally:
            service.close()
    finally:
        log.close()


def catalogue_of(settings: Settings) -> Catalogue:
    """The catalogue that the settings name. Raises CatalogueError."""
    return Catalogue.load(settings.catalogue) if settings.catalogue else Catalogue.default()


def refuse_half_restored(settings: Settings) -> None:
    """Raises Conflict while a backup is being restored into the data folder, or where that was cut off."""
    if (settings.data_dir / UNFINISHED).exists():
        raise Conflict(f"A restore into {settings.data_dir} is under way, or was cut off in the middle.",
                       "Wait for it, or run `python -m service restore DIR --replace` again.",
                       code="restore_unfinished", field="data_dir", value=str(settings.data_dir))  # fmt: skip


def state_of(request: Request) -> State:
    """FastAPI dependency: the state of the app that answers this request."""
    return cast(State, request.app.state.service)
