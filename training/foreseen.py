"""Errors that are foreseen: what is told in one line, since whoever called can mend it. Knows no command."""

from __future__ import annotations


def wrong_input() -> tuple[type[Exception], ...]:
    """What is told in one line, since whoever called can mend it."""
    from models.bundle import BundleError
    from models.journey.eventlog import EventLogError
    from models.journey.touchpoint import CatalogueError
    from models.ledger import LedgerError
    from models.nets.feedback import EncoderNotFoundError
    from training.config import ConfigError
    from training.contract.finding import ContractError
    from training.data import DataError
    from training.policies import PolicyError
    from training.tracking import TrackingError
    from training.unfinished import UnfinishedError
    from training.versions import VersionError

    return (
        EventLogError, DataError, CatalogueError, ConfigError, LedgerError, EncoderNotFoundError, TrackingError,
        UnfinishedError, BundleError, ContractError, PolicyError, VersionError,
    )  # fmt: skip
