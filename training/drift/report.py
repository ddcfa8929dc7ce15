"""The watch over drift as a report: every comparison, what is real, and whether it is time to train again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jinja2
import numpy as np
import pandas as pd

from models.bundle import load_bundle
from models.journey.event import DAY, Micros, format_time, parse_time
from models.journey.eventlog import Table
from models.ledger import LedgerError, LiveEntry, bundle_folder, current
from training.checkpoint import write_whole
from training.config import TrainConfig
from training.data import TrainingData
from training.drift.outcomes import of_forecasts, of_outcomes, of_verdicts
from training.drift.shift import Kind, Shift, told_apart
from training.drift.windows import Windows, of_journeys, of_words, windows
from training.policies import DriftPolicy

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class DriftReport:
    """What was compared, and why retraining is advised, if it is."""

    champion: LiveEntry
    spans: Windows | None
    shifts: Sequence[Shift]
    reasons: Sequence[str]

    @property
    def advised(self) -> bool:
        return bool(self.reasons)

    def to_dict(self) -> dict[str, Any]:
        spans = self.spans
        told = {} if spans is None else {
            name: [format_time(one.since), format_time(one.until)]
            for name, one in (("before", spans.before), ("now", spans.now))
        }  # fmt: skip
        return {
            "champion": self.champion.to_dict(),
            "windows": told,
            "advised": self.advised,
            "reasons": list(self.reasons),
            "compared": len(self.shifts),
            "kinds": {kind: sum(one.kind == kind for one in self.shifts) for kind in get_args(Kind)},
            "shifts": [one.to_dict() for one in self.shifts],
        }

    def sentence(self) -> str:
        if not self.advised:
            return f"{len(self.shifts)} things compared; retraining is not advised"
        return "\n".join(["retraining is advised:", *(f"  {reason}" for reason in self.reasons)])


def watch(config: TrainConfig, data: TrainingData, folder: Path, now: Micros) -> DriftReport:
    """Compare the windows of this data, as the champion meets them. Raises LedgerError or BundleError.

    `folder` is where the service exported to: its forecasts and verdicts tell what became of answers.
    """
    entry = current(config.out)
    if entry is None:
        raise LedgerError(f"{config.out}/live holds no entry: nothing is live that could have gone out of date")
    bundle = load_bundle(bundle_folder(config.out, entry.digest))
    last = bundle.manifest["learned_from"].get("last_at")
    learned_until = parse_time(last) if last else None
    journeys = data.assembled.journeys if data.assembled else None
    spans = windows(journeys, data.feedback, learned_until, config.drift)
    found: list[Shift] = []
    if spans is not None:
        rng, policy = np.random.default_rng(config.seed), config.drift
        if journeys is not None and len(journeys.code):
            found += of_journeys(bundle, journeys, spans, policy, rng)
            found += of_outcomes(bundle, journeys, spans, learned_until, policy, rng)
        if data.feedback is not None:
            found += of_words(bundle, data.feedback, spans, policy, rng)
        for name, compare in (("forecasts", of_forecasts), ("verdicts", of_verdicts)):
            found += compare(_rows(folder / f"{name}.parquet"), entry.digest, spans, policy, rng)
    shifts = told_apart(found, config.drift.false_share)
    return DriftReport(entry, spans, shifts, list(_reasons(shifts, last, config.drift, now)))


def _rows(path: Path) -> pd.DataFrame:
    return pd.DataFrame(list(Table(path).rows())) if path.is_file() else pd.DataFrame()


def _reasons(shifts: Sequence[Shift], last: str | None, policy: DriftPolicy, now: Micros) -> Iterator[str]:
    least = {"before": policy.least_distance_share, "told": policy.least_miss_share}
    for one in shifts:
        if one.real and one.distance >= least[one.against]:
            yield f"{one.kind}: {one.name}: {one.told} (distance {one.distance:.2f}, p {one.p_value:.1g})"
    if policy.old_days and last and (now - parse_time(last)) / DAY > policy.old_days:
        yield f"age: the newest event that the champion learned from is of {last}"


def write_page(path: Path, report: DriftReport) -> None:
    """The report as one page that needs no other file."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, environment.from_string(TEMPLATE.read_text("utf-8")).render(**report.to_dict()).encode())
