"""What can be said of a challenger's bundle itself: what it answers, promises, reads rightly, costs and proves.

No recent case is needed for any of it. Cases are cases.py's part, past reviews replay.py's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import LoadedBundle
from models.confidence.binomial import binomial_cdf
from models.insight import ModelVersion, ReleasePolicy
from models.journey.journeys import Journeys
from models.measured import LEAST_CALIBRATION_CASES, LEAST_COVERAGE_CASES
from training.behaviour.suite import Passed, rates, reader_of, run_suite
from training.gate.check import Check, judged, not_asked
from training.policies import GatePolicy

TIMED = 40
"""So many insights are timed; the median counts, which one slow moment of the machine does not move."""
NOT_LIVE = ModelVersion(0, None, None)
Timer = Callable[[], float]


def of_bundles(
    champion: LoadedBundle | None,
    challenger: LoadedBundle,
    folder: Path,
    journeys: Journeys | None,
    policy: GatePolicy,
    timer: Timer = time.process_time,
) -> Iterator[Check]:
    """Every check of the challenger's bundle, which lies in `folder`; `journeys` are some to time answers on.

    The processor's time is taken: on a busy machine the clock on the wall would judge the neighbours.
    """
    yield _answers(champion, challenger)
    if champion is not None:
        yield _meaning(champion, challenger)
    yield from _promises(champion, challenger)
    yield from _behaviour(champion, challenger, policy)
    yield _parity(challenger)
    yield _size(folder, policy)
    if journeys is not None and len(journeys):
        yield _latency(champion, challenger, journeys, policy, timer)


def answered(bundle: LoadedBundle) -> set[str]:
    """The questions that a bundle was trained for."""
    found = {f"purchase: {name}" for name in bundle.purchase}
    found |= {"next touchpoint"} if bundle.next_touchpoint else set()
    return found | ({"feeling"} if bundle.feedback else set()) | ({"channel"} if bundle.channel else set())


def _answers(champion: LoadedBundle | None, challenger: LoadedBundle) -> Check:
    ours, theirs = answered(challenger), answered(champion) if champion else set()
    lost = sorted(theirs - ours)
    if not ours - {"channel"}:
        return judged("bundle", "answers", False, "nothing could be trained")
    told = f"no longer answers {', '.join(lost)}" if lost else f"answers {', '.join(sorted(ours))}"
    return judged("bundle", "answers", not lost, told, challenger=sorted(ours), champion=sorted(theirs))


def _meaning(champion: LoadedBundle, challenger: LoadedBundle) -> Check:
    """Under one name the same is asked: whoever acts on an answer is not told that it means something else now."""
    ours, theirs = _meanings(challenger), _meanings(champion)
    changed = [f"{name} is {ours[name]}, of the champion {theirs[name]}" for name in sorted(ours.keys() & theirs.keys())
               if ours[name] != theirs[name]]  # fmt: skip
    told = "; ".join(changed) or "under every name the same is asked"
    fix = "; give what is new a name of its own" if changed else ""
    return judged("bundle", "meaning", not changed, told + fix, challenger=ours, champion=theirs)


def _meanings(bundle: LoadedBundle) -> dict[str, str]:
    """What each name of a question asks, in words."""
    found = {
        f"purchase: {name}": f"{' or '.join(one.touchpoints)} within {_days(one.horizon_seconds)}"
        for name, one in bundle.targets.items()
    }
    if bundle.next_touchpoint is not None:
        found["next touchpoint"] = f"within {_days(bundle.next_touchpoint.horizon_seconds)}"
    return found


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:g} days"


def _promises(champion: LoadedBundle | None, challenger: LoadedBundle) -> Iterator[Check]:
    """What the champion may promise, the challenger must still be able to."""
    ours, theirs = promises(challenger), promises(champion) if champion else {}
    for name in sorted(set(ours) | set(theirs)):
        lost = theirs.get(name, False) and not ours.get(name, False)
        now = "stands" if ours.get(name) else "does not stand"
        before = "stands" if theirs.get(name) else "does not stand"
        yield judged(name, "promise", not lost, f"{now}; of the champion it {before}")


def promises(bundle: LoadedBundle) -> dict[str, bool]:
    """Which promises the held-out data of a bundle supports, under the usual policy."""
    measured, policy = bundle.measured, ReleasePolicy()
    found: dict[str, bool] = {}
    if measured.next_touchpoint is not None:
        following = measured.next_touchpoint
        found["next touchpoint"] = following.n >= LEAST_COVERAGE_CASES and following.base_rate is None
    for name, one in (measured.purchase or {}).items():
        found[f"purchase: {name}"] = one.n >= LEAST_CALIBRATION_CASES and one.held
    if measured.feeling is not None:
        found["feeling"] = measured.feeling.rule(policy.alpha, policy.delta, "all").threshold is not None
    return found


def _behaviour(champion: LoadedBundle | None, challenger: LoadedBundle, policy: GatePolicy) -> Iterator[Check]:
    """No capability may be read less well than the champion reads it."""
    if challenger.feedback is None or challenger.feedback.language != "en":
        return
    read = run_suite(reader_of(challenger.feedback))
    ours = rates(read)
    if champion is None or champion.feedback is None or champion.feedback.language != "en":
        yield not_asked("feeling", "behaviour", "no champion that reads to stand beside", challenger=ours)
        return
    before = run_suite(reader_of(champion.feedback))
    lost = list(lost_capabilities(read, before, policy))
    told = "; ".join(lost) if lost else f"none of {len(read)} capabilities lost"
    yield judged("feeling", "behaviour", not lost, told, challenger=ours, champion=rates(before))


def lost_capabilities(ours: Sequence[Passed], theirs: Sequence[Passed], policy: GatePolicy) -> Iterator[str]:
    """What is read less well than the champion reads it, by more than matters and than the luck of a refit.

    A capability has some twenty sentences, so one of them is no loss. Of those on which the two differ, so many must be
    lost as coins would lose in at most `luck_share` of draws (sign test). The same is asked of the whole suite, for a
    little can be lost everywhere. Below its floor by more than one case none may fall, luck or not: else a little is
    lost each week.
    """
    lost = gained = 0
    for one, before in zip(ours, theirs, strict=True):
        new, regained = len(one.missed - before.missed), len(before.missed - one.missed)
        lost, gained = lost + new, gained + regained
        least = one.floor * one.n - 1
        matters = one.rate < before.rate - policy.behaviour_lost_share
        if (matters and _by_luck(new, regained) <= policy.luck_share) or one.passed < least <= before.passed:
            yield f"{one.name} {one.rate:.0%} after {before.rate:.0%}"
    most = sum(one.n for one in ours) * policy.behaviour_lost_share / 2
    if lost - gained > most and _by_luck(lost, gained) <= policy.luck_share:
        yield f"{lost} sentences of the whole suite, {gained} gained"


def _by_luck(lost: int, gained: int) -> float:
    """How often so many of the sentences on which two differ are lost where each is a toss."""
    return binomial_cdf(gained, lost + gained, 0.5)


def _parity(challenger: LoadedBundle) -> Check:
    """Each graph was proven to answer as what was fitted, and how far apart they were is written down."""
    figures = challenger.manifest["figures"]
    asked = {"next touchpoint": figures["next_touchpoint"], "feeling": figures["feeling"]}
    asked |= {f"purchase: {name}": one for name, one in figures["purchase"].items()}
    found = {name: one.get("parity") for name, one in asked.items() if one["status"] == "trained"}
    missing = [name for name, figure in found.items() if figure is None]
    told = f"no figure for {', '.join(missing)}; train it again" if missing else _each(found)
    return judged("bundle", "ONNX parity", not missing, told, apart=found)


def _each(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {figure:.1e}" for name, figure in found.items()) or "nothing to prove"


def _size(folder: Path, policy: GatePolicy) -> Check:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    told = f"{size:.1f} MB; at most {policy.size_mb:g}"
    return judged("bundle", "size", size <= policy.size_mb, told, megabytes=round(size, 3), allowed=policy.size_mb)


def _latency(
    champion: LoadedBundle | None, challenger: LoadedBundle, journeys: Journeys, policy: GatePolicy, timer: Timer
) -> Check:
    ours = milliseconds(challenger, journeys, timer)
    theirs = None if champion is None else milliseconds(champion, journeys, timer)
    beside = "" if theirs is None else f" (champion {theirs:.1f})"
    told = f"median {ours:.1f} ms of processor time for an insight{beside}; at most {policy.latency_ms:g}"
    figures = {"challenger_ms": round(ours, 3), "champion_ms": None if theirs is None else round(theirs, 3)}
    return judged("bundle", "latency", ours <= policy.latency_ms, told, **figures, allowed=policy.latency_ms)


def milliseconds(bundle: LoadedBundle, journeys: Journeys, timer: Timer) -> float:
    """The median time of an insight of one customer, of those with the longest journeys."""
    rows: Sequence[int] = np.argsort(-journeys.lengths, kind="stable")[:TIMED].tolist()
    taken = []
    for row in rows:
        one = journeys.take(np.array([row]))
        as_of = np.array([int(one.known_at.max(initial=0))], dtype=np.int64)
        began = timer()
        bundle.concluded(one, as_of, [None], NOT_LIVE, ReleasePolicy()).insights()
        taken.append(timer() - began)
    return float(np.median(taken)) * 1e3
