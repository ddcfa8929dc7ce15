"""Does a promise hold? `python -m benchmarks.confidence [--data FOLDER] [--bundle DIR] [--draws 1000] [--only NAME]`.

Scores come from words and pairs of words with a linear model (or, with a bundle, from its net), on the made-up company
and on sentences that 15 to 99 people rated. Of each pool, labels of 2,000 texts are drawn at random, again and again;
what the rule then releases is checked on all the others. MAPIE stands beside us where it does the same.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.confidence_pools import Pool, pools
from benchmarks.confidence_report import (
    SET_FIGURES,
    markdown,
    markdown_of_clock,
    markdown_of_live,
    picture,
    picture_of_withdrawal,
)
from benchmarks.report import about, merged, options, write
from models.confidence.betting import noticing, smallest_noticed, withdrawals
from models.confidence.binomial import binomial_cdf, clopper_pearson
from models.confidence.calibration import Temperature
from models.confidence.conformal import SplitConformal
from models.confidence.risk import MINIMUM_GROUP, CalibrationTable, release_threshold
from models.predictors.feedback import (
    FeelingPrediction,
    text_flags,
)

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
LABELS, DELTA, ALPHAS = 2_000, 0.05, (0.01, 0.02, 0.05, 0.10)
COVERAGE_DRAWS, COVERAGE = 50, 0.9
NOTES = (
    "Each row: labels of 2,000 texts drawn at random 1,000 times, delta = 5 %. *above alpha*: the share of draws after",
    "which more than alpha of what is released from **the whole remaining pool** is wrong, with its exact 95 %",
    "interval. *released*: the mean share released. *best for n*: what the lowest threshold would release whose exact",
    "95 % bound on the same labels is at most alpha, as if it alone had been looked at: an honest rule can hardly",
    "release more. *best of all*: what whoever knew every label would release. Texts that a flag would send to a",
    "person are not left out here, so these pools are harder than what is served.",
)


# -- what is released -------------------------------------------------------------------------------------------------


class Released:
    """What thresholds release of what was not drawn, and how much of it is wrong."""

    def __init__(self, score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> None:
        order = np.argsort(-score, kind="stable")
        self.score, self.mistakes = score[order], np.cumsum(wrong[order])

    def at(self, threshold: float | None) -> tuple[float, float]:
        """(share released, share wrong of it)."""
        n = 0 if threshold is None else int(np.searchsorted(-self.score, -threshold, side="right"))
        return (n / len(self.score), float(self.mistakes[n - 1] / n)) if n else (0.0, 0.0)


def release(pool: Pool, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draws above alpha, release rates and the best possible, for each alpha; at 5 % also by group."""
    score, wrong = pool.score, pool.wrong
    everything = Released(score, wrong)
    rate = everything.mistakes / np.arange(1, len(score) + 1)
    counts = np.unique(np.linspace(20, LABELS, 200).round().astype(int))
    passing = {alpha: np.array([_most(int(n), alpha) for n in counts]) for alpha in ALPHAS}
    told: dict[float, list[tuple[float, float, float]]] = {alpha: [] for alpha in ALPHAS}
    groups: dict[str, list[tuple[float, float]]] = {str(name): [] for name in np.unique(pool.group)}
    for _ in range(draws):
        order = rng.permutation(len(score))
        drawn, rest = order[:LABELS], order[LABELS:]
        others = Released(score[rest], wrong[rest])
        mine = np.argsort(-score[drawn], kind="stable")
        mistakes = np.cumsum(wrong[drawn][mine])[counts - 1]
        for alpha in ALPHAS:
            rule = release_threshold(score[drawn], wrong[drawn], alpha, DELTA)
            ok = np.flatnonzero(mistakes <= passing[alpha])
            best = float(score[drawn][mine][counts[ok[-1]] - 1]) if len(ok) else None
            told[alpha].append((*others.at(rule.threshold), others.at(best)[0]))
        by = CalibrationTable.of(score[drawn], wrong[drawn], pool.group[drawn])
        for name, found in groups.items():
            inside = pool.group[rest] == name
            rule = by.release_rule(0.05, DELTA, name)
            out = rule.releases(score[rest][inside])
            found.append((float(out.mean()), float(wrong[rest][inside][out].mean()) if out.any() else 0.0))
    best_of_all = {alpha: float(np.flatnonzero(np.append(True, rate <= alpha))[-1]) / len(rate) for alpha in ALPHAS}
    return {
        "alphas": {
            str(alpha): _summary(np.array(rows), alpha) | {"best_of_all": best_of_all[alpha]}
            for alpha, rows in told.items()
        },
        "groups": {
            name: _summary(np.array(rows), 0.05)
            | {
                "labels": float((pool.group == name).mean() * LABELS),
                "own_rule": bool((pool.group == name).mean() * LABELS >= MINIMUM_GROUP),
            }
            for name, rows in groups.items()
        },
    }  # fmt: skip


def _most(n: int, alpha: float) -> int:
    """The most mistakes of ``n`` that still show at most alpha."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_cdf(middle, n, alpha) <= DELTA else (low, middle)
    return low


def _summary(rows: NDArray[np.float64], alpha: float) -> dict[str, Any]:
    above = int((rows[:, 1] > alpha).sum())
    told: dict[str, Any] = {
        "draws": len(rows),
        "above": above / len(rows),
        "above_interval": clopper_pearson(above, len(rows)),
        "released": float(rows[:, 0].mean()),
        "none": float((rows[:, 0] == 0).mean()),
    }
    return told if rows.shape[1] == 2 else told | {"best_for_n": float(rows[:, 2].mean())}


# -- sets and ranking -------------------------------------------------------------------------------------------------


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted model whose chances are its input, so that MAPIE is asked for nothing else."""

    def __init__(self, n_classes: int = 4) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any) -> Given:
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.asarray(X)

    def predict(self, X: Any) -> Any:
        return np.asarray(X).argmax(axis=1)


def mapie(prob: Any, label: Any) -> SplitConformalClassifier:
    """MAPIE's split conformal sets (LAC) on the same chances."""
    made = SplitConformalClassifier(
        Given(prob.shape[1]), confidence_level=COVERAGE, conformity_score="lac", prefit=True
    )
    return made.conformalize(prob, label)


def sets(pool: Pool, rng: np.random.Generator) -> dict[str, Any]:
    """Coverage and size by group over some draws, and AURC, beside MAPIE and max-softmax."""
    prob = pool.prob[:, pool.prob.max(axis=0) > 0]
    label = np.unique(pool.label, return_inverse=True)[1]
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    aurcs = []
    for _ in range(COVERAGE_DRAWS):
        order = rng.permutation(len(prob))
        drawn, rest = order[:LABELS], order[LABELS:]
        scaled = Temperature.fit(prob[drawn], label[drawn])
        chance = scaled.apply(prob)
        ours = SplitConformal.conformalize(chance[drawn], label[drawn], pool.group[drawn], round(1 - COVERAGE, 6))
        inside = ours.predict_set(chance[rest], pool.group[rest])
        theirs = mapie(prob[drawn], label[drawn]).predict_set(prob[rest])[1][:, :, 0]
        for name in ("all", *np.unique(pool.group)):
            rows = np.ones(len(rest), dtype=bool) if name == "all" else pool.group[rest] == name
            at = np.flatnonzero(rows)
            found.setdefault(str(name), []).append(
                (
                    inside[at, label[rest][at]].mean(), inside[at].sum(axis=1).mean(),
                    theirs[at, label[rest][at]].mean(), theirs[at].sum(axis=1).mean(),
                )
            )  # fmt: skip
        wrong = prob[rest].argmax(axis=1) != label[rest]
        ranks = (chance[rest].max(axis=1), prob[rest].max(axis=1), -theirs.sum(axis=1) * 1.0)
        aurcs.append([aurc(rank, wrong) for rank in ranks])
    return {
        "sets": {
            name: dict(zip(SET_FIGURES, np.mean(rows, axis=0).tolist(), strict=True)) for name, rows in found.items()
        },
        "aurc": dict(zip(("ours", "max_softmax", "mapie_set_size"), np.mean(aurcs, axis=0).tolist(), strict=True)),
    }


def aurc(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """The mean selective error over all coverages (Geifman, Uziel & El-Yaniv 2019), ties counted at their mean."""
    _, place, size = np.unique(-score, return_inverse=True, return_counts=True)
    even = (np.bincount(place, weights=wrong) / size)[place]
    order = np.argsort(-score, kind="stable")
    return float((np.cumsum(even[order]) / np.arange(1, len(score) + 1)).mean())


# -- the live check and the clock -------------------------------------------------------------------------------------


def live(draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Audits until withdrawal, from the start and after a quiet time, and withdrawals of promises that hold."""
    told: dict[str, Any] = {"drift": {}, "quiet": {}, "noticing": {}}
    for alpha in (0.05, 0.10):
        for quiet in (0, 1000):
            streams = np.concatenate(
                [rng.random((draws, quiet)) < 0.8 * alpha, rng.random((draws, 3000)) < 2 * alpha], axis=1
            )
            found = withdrawals(streams, alpha, DELTA)
            late = found[found > quiet] - quiet
            told["drift"][f"{alpha} {quiet}"] = {
                "alpha": alpha, "quiet": quiet, "median": float(np.median(late)), "p90": float(np.quantile(late, 0.9)),
                "before": float(((found > 0) & (found <= quiet)).mean()), "never": float((found == 0).mean()),
            }  # fmt: skip
    for part in (1.0, 0.9, 0.8):
        count = sum(int((withdrawals(rng.random((250, 10_000)) < part * 0.05, 0.05, DELTA) > 0).sum())
                    for _ in range(draws // 250))  # fmt: skip
        n = draws // 250 * 250
        told["quiet"][str(part)] = {"streams": n, "withdrawn": count / n, "interval": clopper_pearson(count, n)}
    for error in (0.06, 0.075, 0.10, 0.15, 0.20):
        one = noticing(error, 0.05, DELTA, 0.02, 1000.0)
        told["noticing"][str(error)] = {"audits": one.audits, "releases": one.releases, "days": one.days}
    told["smallest_by_400"] = smallest_noticed(400, 0.05, DELTA)
    return {"about": about(), **told}


def clock() -> dict[str, Any]:
    """Microseconds for one row, in turns: our set, decision and flags; MAPIE's set."""
    rng = np.random.default_rng(1)
    prob = rng.dirichlet([4.0, 1.0, 1.0, 1.0], LABELS)
    label = (prob.cumsum(axis=1) < rng.random((LABELS, 1))).sum(axis=1)
    one, said = prob[:1], ["The test drive was fine and everybody was friendly."]
    ours = SplitConformal.conformalize(prob, label, alpha=round(1 - COVERAGE, 6))
    by = CalibrationTable.of(prob.max(axis=1), prob.argmax(axis=1) != label)
    theirs = mapie(prob, label)
    told = FeelingPrediction(one, None, None, np.zeros(1), np.ones(1), np.zeros(1, dtype=np.bool_), np.array([12]))

    def decided() -> bool:
        ours.predict_set(one)
        threshold = by.release_rule(0.05, DELTA).threshold
        return threshold is not None and float(one[0].max()) >= threshold

    def all_flagged() -> None:
        decided()
        text_flags(told, said)

    asks = {
        "set and decision": decided,
        "set, decision and flags (of numbers, words and language)": all_flagged,
        "MAPIE, set alone": lambda: theirs.predict_set(one),
    }
    took: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(500):
        for name, ask in asks.items():
            began = time.perf_counter()
            ask()
            took[name].append(time.perf_counter() - began)
    return {"about": about(), "microseconds": {name: float(np.median(each) * 1e6) for name, each in took.items()}}


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--bundle", type=Path, help="folder of a bundle whose net reads too")
    parser.add_argument("--draws", type=int, default=1000)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", module="mapie|sklearn")
    wanted: dict[str, Callable[[], dict[str, Any]]] = {
        "live check": lambda: live(chosen.draws, np.random.default_rng(chosen.seed)),
        "one row": clock,
    }

    def pooled(make: Callable[[], Pool]) -> dict[str, Any]:
        pool, rng = make(), np.random.default_rng(chosen.seed)
        figures = {"n": len(pool.label), "error": float(pool.wrong.mean())}
        return {"about": about(), **figures, **release(pool, chosen.draws, rng), **sets(pool, rng)}

    wanted |= {name: (lambda make=make: pooled(make)) for name, make in pools(chosen).items()}
    found: dict[str, Any] = {}
    for name in chosen.only or wanted:
        sys.stderr.write(f"{name}\n")
        if name.startswith("rated") and not (chosen.data / "text" / "rated_sentences").is_dir():
            sys.stderr.write("  skipped: the data is not there\n")
            continue
        began = time.monotonic()
        found[name] = wanted[name]() | {"seconds": round(time.monotonic() - began)}
    every = merged("confidence", found)
    scored = {name: told for name, told in every.items() if "alphas" in told}
    tables = [markdown(name, told) for name, told in scored.items()]
    tables += [markdown_of_live(every["live check"])] if "live check" in every else []
    tables += [markdown_of_clock(every["one row"])] if "one row" in every else []
    write("confidence", "Does a promise hold?", NOTES, every, tables)
    shown = {name: told for name, told in scored.items() if told["alphas"]["0.1"]["best_of_all"] > 0.05}
    if shown:
        picture(PICTURES / "released.png", shown)
    picture_of_withdrawal(PICTURES / "withdrawn.png", np.random.default_rng(chosen.seed))


if __name__ == "__main__":
    main()
