"""How a training run is set: one typed record, every field used, checked where it is made.

Reads nothing from the environment and no file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from models.journey.event import parse_duration
from models.journey.target import LONGEST_HORIZON_SECONDS, Target
from models.predictors.stacking import SOURCES
from training.feedback import FeedbackConfig
from training.next_touchpoint import NextTouchpointConfig
from training.policies import ContractPolicy, DriftPolicy, GatePolicy, LabelPolicy
from training.purchase import PurchaseConfig

DEFAULT_TARGET = Target("purchase", ("*.purchase",), 90 * 86_400)
DEFAULT_HORIZON_SECONDS = 30 * 86_400


class ConfigError(ValueError):
    """An option is wrong; the message names it, its value and what is allowed."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run, beside the data.

    events, feedback, verdicts   files; None where there is none
    forecasts                    what the service handed out and what became of it; measured, teaches nothing
    event_columns                {our column: the file's}, see models/journey/eventlog.py
    feedback_columns             {our column: the file's}, see training/data.py
    catalogue                    YAML of rules; None takes the one that comes with the product
    targets                      what likelihoods are learned for
    horizon_seconds              within which a next touchpoint is expected
    out                          the folder of versions/, live/ and MLflow's store
    seed                         of everything random
    publish                      False keeps a winning bundle out of live/, as a candidate
    next_touchpoint, purchase, feeling    how each question is learned; see the module of each
    gate, contract, drift, labels         thresholds; see training/policies.py
    """

    events: Path | None = None
    feedback: Path | None = None
    verdicts: Path | None = None
    forecasts: Path | None = None
    event_columns: dict[str, str] = field(default_factory=dict)
    feedback_columns: dict[str, str] = field(default_factory=dict)
    catalogue: Path | None = None
    targets: tuple[Target, ...] = (DEFAULT_TARGET,)
    horizon_seconds: int = DEFAULT_HORIZON_SECONDS
    out: Path = Path("mlruns")
    seed: int = 7
    publish: bool = True
    next_touchpoint: NextTouchpointConfig = field(default_factory=NextTouchpointConfig)
    purchase: PurchaseConfig = field(default_factory=PurchaseConfig)
    feeling: FeedbackConfig = field(default_factory=FeedbackConfig)
    gate: GatePolicy = field(default_factory=GatePolicy)
    contract: ContractPolicy = field(default_factory=ContractPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    labels: LabelPolicy = field(default_factory=LabelPolicy)

    def __post_init__(self) -> None:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise ConfigError(f"two targets are called {max(names, key=names.count)!r}; give each its own name")
        if not 0 < self.horizon_seconds <= LONGEST_HORIZON_SECONDS:
            allowed = f"allowed: 1 to {LONGEST_HORIZON_SECONDS}"
            raise ConfigError(f"horizon_seconds {self.horizon_seconds}; {allowed}")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} must be at least 0")

    def to_dict(self) -> dict[str, Any]:
        """For the diary of runs: every setting as it was resolved, in JSON's own types."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


def _plain(value: Any) -> Any:
    """Paths as text, records as mappings, tuples as lists."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def parse_target(text: str) -> Target:
    """Read `name=touchpoint[,touchpoint…]:horizon`.

    >>> parse_target("car_purchase=dealer.purchase:90d").horizon_seconds
    7776000

    Raises ConfigError.
    """
    name, equals, rest = text.partition("=")
    touchpoints, colon, horizon = rest.rpartition(":")
    wanted = tuple(one.strip() for one in touchpoints.split(",") if one.strip())
    if not (equals and colon and wanted and name.isidentifier()):
        raise ConfigError(f"target {text!r} must look like car_purchase=dealer.purchase:90d")
    try:
        return Target(name, wanted, parse_duration(horizon))
    except ValueError as error:
        raise ConfigError(f"target {text!r}: {error}") from None


def parse_stack(names: list[str] | None) -> tuple[str, ...]:
    """Read whose answers likelihoods are told beside behaviour; `none` alone is nobody's, None the usual. Raises
    ConfigError.

    >>> parse_stack(["feeling", "next_touchpoint"]), parse_stack(["none"])
    (('next_touchpoint', 'feeling'), ())
    """
    if names is None:
        return PurchaseConfig().stack
    wrong = [name for name in names if name not in SOURCES and names != ["none"]]
    if wrong:
        raise ConfigError(f"stack {wrong[0]!r}; allowed: {', '.join(SOURCES)}, or none alone")
    return tuple(name for name in SOURCES if name in names)


def parse_horizon(text: str) -> int:
    """Read a duration such as 30d as seconds. Raises ConfigError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"horizon: {error}") from None


def parse_columns(pairs: list[str], option: str) -> dict[str, str]:
    """Read `ours=theirs` pairs, as `--map` takes them.

    >>> parse_columns(["text=Review Text"], "--map-feedback")
    {'text': 'Review Text'}

    Raises ConfigError.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, _, theirs = (part.strip() for part in pair.partition("="))
        if not ours or not theirs:
            raise ConfigError(f"{option} {pair!r} must look like ours=theirs, such as user_id=customer")
        if ours in columns:
            raise ConfigError(f"{option} names {ours!r} twice, as {columns[ours]!r} and {theirs!r}; keep one")
        columns[ours] = theirs
    return columns
