"""Keep the contract: every check in one order; what breaks it stops a run before anything is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.journey.event import Micros
from models.ledger import LedgerError, bundle_folder, current
from training.config import TrainConfig
from training.contract.finding import ContractError, Finding
from training.contract.labelling import of_labels
from training.contract.leaks import of_features, of_words
from training.contract.schema import of_texts, of_touchpoints
from training.contract.volume import newest_of, of_days, of_freshness, of_targets, of_volume
from training.data import TrainingData


def keep_contract(data: TrainingData, config: TrainConfig, now: Micros) -> Sequence[Finding]:
    """What is odd about the data. Raises ContractError where it breaks the contract."""
    found = list(examined(data, config, now))
    if any(one.stops for one in found):
        raise ContractError(found)
    return found


def examined(data: TrainingData, config: TrainConfig, now: Micros) -> Iterator[Finding]:
    """Every finding, what stops and what warns."""
    policy, before = config.contract, learned_before(config.out)
    since, rng = newest_of(before), np.random.default_rng(config.seed)
    journeys = data.assembled.journeys if data.assembled else None
    yield from of_volume(data, before, policy)
    if journeys is not None and len(journeys.code):
        yield from of_touchpoints(journeys, policy, now)
        yield from of_freshness(journeys, before, policy, now)
        yield from of_days(journeys, policy)
        yield from of_targets(journeys, config.targets, since, policy)
        yield from of_features(journeys, config.targets, policy, rng)
    if data.feedback is not None and len(data.feedback):
        yield from of_texts(data.feedback, policy, now)
        yield from of_labels(data.feedback, config.seed, since, policy)
        yield from of_words(data.feedback, policy)


def learned_before(root: Path) -> Mapping[str, Any] | None:
    """What the champion says it learned from; None where nothing is live, or it cannot be read."""
    try:
        entry = current(root)
        if entry is None:
            return None
        manifest = json.loads((bundle_folder(root, entry.digest) / "manifest.json").read_text("utf-8"))
        learned: Mapping[str, Any] = manifest["learned_from"]
        return learned
    except (LedgerError, OSError, ValueError, KeyError):
        return None
