"""How fast purchase likelihood is answered: part of `benchmarks.purchase`, or `python -m benchmarks.purchase_speed`.

The boosting as shipped (ONNX Runtime, one thread) beside scikit-learn's `predict_proba` of the very trees, in one run,
for one row and for a batch; and what it takes to say why. Rounds are interleaved and medians told. It judges no answer.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import about, of_run, options, table
from models.features.vocabulary import Vocabulary
from models.journey.assembly import assemble
from models.journey.eventlog import read_events
from models.journey.journeys import Journeys
from models.journey.target import Target
from models.journey.touchpoint import Catalogue
from models.predictors.predictor import open_session
from models.predictors.purchase import BOOSTING_FILE, PurchasePredictor
from models.predictors.why_purchase import why_purchase
from training.crossfit import BoostingConfig, boost
from training.export import export_boosting, trees_of
from training.purchase import PurchaseConfig, fit_purchase, purchase_examples
from training.simulator import simulate

BATCH, ROUNDS = 10_000, 15
TARGET = Target("car_purchase", ("dealer.purchase",), 90 * 86_400)
FASTER_ALONE, FASTER_TOGETHER, MOST_APART, MOST_WHY_MS = 20.0, 1.0, 1e-6, 5.0


def run(seed: int) -> dict[str, Any]:
    """Medians in milliseconds, how often faster, and how far apart."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        simulate(1_500, seed, Path(scratch) / "company")
        events = list(read_events(Path(scratch) / "company" / "events.parquet"))
        journeys = assemble(events, Catalogue.default()).journeys
        told = _speeds(journeys, Path(scratch), seed)
    return {"about": about(), "seconds": round(time.monotonic() - began), **told}


def _speeds(journeys: Journeys, scratch: Path, seed: int) -> dict[str, Any]:
    vocabulary, rng = Vocabulary.of(journeys), np.random.default_rng(seed)
    start, end = int(journeys.occurred_at.min()), int(journeys.occurred_at.max())
    known = purchase_examples(journeys, TARGET, vocabulary, start, end, rng)
    fitted = boost(known.features, known.happened, BoostingConfig(), seed, rounds=150)
    export_boosting(fitted, known.features, scratch / BOOSTING_FILE, rng)
    session = open_session(scratch / BOOSTING_FILE, 1)
    many = known.features[rng.integers(0, len(known.features), BATCH)]
    one = many[:1]
    shipped = {
        "one": lambda: session.run(["probabilities"], {"features": one}),
        "batch": lambda: session.run(["probabilities"], {"features": many}),
    }
    beside = {"one": lambda: fitted.predict_proba(one), "batch": lambda: fitted.predict_proba(many)}
    told: dict[str, Any] = {"trees": len(trees_of(fitted).roots), "features": known.features.shape[1]}
    for name, times in (("one", 50), ("batch", 1)):
        ours, theirs, ratio = _interleaved(shipped[name], beside[name], times)
        told[name] = {"onnx_ms": ours, "scikit_learn_ms": theirs, "faster": ratio}
    said = session.run(["probabilities"], {"features": many})[0][:, 1]
    told["most_apart"] = float(np.abs(said - fitted.predict_proba(many)[:, 1]).max())
    return told | {"why_ms": _why(journeys, vocabulary, scratch, seed)}


def _why(journeys: Journeys, vocabulary: Vocabulary, scratch: Path, seed: int) -> float:
    """The median over customers, features and all, once the predictor has answered."""
    start, end = int(journeys.occurred_at.min()), int(journeys.occurred_at.max())
    fit_purchase(
        journeys, TARGET, vocabulary, start, end, PurchaseConfig(), seed, scratch / "purchase", lambda line: None
    )
    predictor, took = PurchasePredictor.load(scratch / "purchase"), []
    for row in range(60):
        moment = np.array([end], dtype=np.int64)
        seen = journeys.take(np.array([row])).seen_at(moment)
        began = time.perf_counter()
        why_purchase(predictor, seen, moment)
        took.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(took[5:]), 3)


def _interleaved(ours: Callable[[], object], theirs: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Median milliseconds of each, and the median of the rounds' ratios."""
    rounds = [(_milliseconds(ours, times), _milliseconds(theirs, times)) for _ in range(ROUNDS)]
    mine, others = (statistics.median(side) for side in zip(*rounds, strict=True))
    return round(mine, 4), round(others, 4), round(statistics.median(b / a for a, b in rounds), 1)


def _milliseconds(deed: Callable[[], object], times: int) -> float:
    deed()
    began = time.perf_counter()
    for _ in range(times):
        deed()
    return (time.perf_counter() - began) * 1e3 / times


def markdown(told: Mapping[str, Any]) -> str:
    rows = [
        [name, f"{one['onnx_ms']:.4g} ms", f"{one['scikit_learn_ms']:.4g} ms", f"{one['faster']} times"]
        for name, one in (("one row", told["one"]), (f"{BATCH:,} rows", told["batch"]))
    ]
    below = (
        f"{told['trees']} trees on {told['features']} features; probabilities at most {told['most_apart']:.1g} apart. "
        f"To say why of one customer, features and all: {told['why_ms']} ms. {of_run(told)}"
    )
    return table("Speed", ("asked", "ONNX, as shipped", "scikit-learn", "faster"), rows, below)


def main() -> None:
    chosen = options(str(__doc__)).parse_args()
    sys.stdout.write(markdown(run(chosen.seed)) + "\n")


if __name__ == "__main__":
    main()
