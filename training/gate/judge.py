"""Judge a challenger: everything that the gate looks at, in one order, and the one sentence that the ledger keeps.

Reads the ledger and the two bundles; writes nothing (report.py does) and publishes nothing (publish.py does). The same
bundles, data and policy give the same judgement, but for how long answers took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.bundle import BundleError, LoadedBundle, load_bundle
from models.journey.event import DAY, format_time, parse_time
from models.journey.journeys import Journeys
from models.ledger import LiveEntry, bundle_folder, current
from models.predictors.feedback import POLARITIES
from training.gate.baselines import gate
from training.gate.bundles import of_bundles
from training.gate.cases import Cases, all_cases, polarities
from training.gate.check import Check, judged, not_asked
from training.gate.compare import compared
from training.gate.evidence import Evidence
from training.gate.replay import forecast, replayed
from training.policies import GatePolicy


@dataclass(frozen=True)
class Judgement:
    """What the gate found. `cases` are those that were compared, for the pictures; they are not in the JSON."""

    challenger: str
    champion: LiveEntry | None
    checks: Sequence[Check]
    policy: GatePolicy
    data: dict[str, str]
    cases: Sequence[Cases] = ()

    @property
    def failed(self) -> list[Check]:
        return [one for one in self.checks if one.outcome == "failed"]

    @property
    def passed(self) -> bool:
        return not self.failed

    @property
    def why(self) -> str:
        """For the ledger: what it failed, or what it stood beside."""
        if self.failed:
            return "; ".join(f"{one.about}: {one.name}: {one.told}" for one in self.failed)
        asked = sum(one.outcome == "passed" for one in self.checks)
        beside = f"version {self.champion.version}" if self.champion else "its baselines"
        return f"passed {asked} checks beside {beside}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "challenger": self.challenger,
            "champion": self.champion.to_dict() if self.champion else None,
            "passed": self.passed,
            "why": self.why,
            "data": self.data,
            "policy": asdict(self.policy),
            "checks": [one.to_dict() for one in self.checks],
        }


def judge(root: Path, digest: str, evidence: Evidence, policy: GatePolicy, rng: np.random.Generator) -> Judgement:
    """Judge the stored bundle `digest` beside what is live now. Raises BundleError or LedgerError.

    Where nothing is live, or what is live cannot be loaded any more, the baselines alone stand beside it.
    """
    folder = bundle_folder(root, digest)
    challenger, entry = load_bundle(folder), current(root)
    champion, checks = None, [_baselines(challenger)]
    try:
        champion = load_bundle(bundle_folder(root, entry.digest)) if entry else None
    except BundleError as error:  # it could not be served either
        checks.append(not_asked("bundle", "champion", f"cannot stand beside it: {error}"))
    assembled = evidence.data.assembled
    checks.append(_recent(champion, challenger, assembled.journeys if assembled else None, policy))
    checks += of_bundles(champion, challenger, folder, assembled.journeys if assembled else None, policy)
    checks.append(_golden(champion, challenger, evidence.golden, policy))
    cases: list[Cases] = []
    if champion is not None:
        cases = list(all_cases(champion, challenger, evidence.data, policy, rng))
        for one in cases:
            checks += compared(one, policy, rng)
        checks += replayed(champion, challenger, evidence.verdicts, policy)
        checks.append(forecast(champion, challenger, evidence.data.feedback, policy))
    return Judgement(challenger.digest, entry, checks, policy, dict(evidence.data.digests), cases)


def _baselines(challenger: LoadedBundle) -> Check:
    passed, why = gate(challenger.manifest["figures"])
    return judged("bundle", "baselines", passed, why)


def _recent(
    champion: LoadedBundle | None, challenger: LoadedBundle, journeys: Journeys | None, policy: GatePolicy
) -> Check:
    """Data that ends before either stopped learning holds cases that it has learned, and would flatter it."""
    told = [one.manifest["learned_from"].get("last_at") for one in (champion, challenger) if one is not None]
    known = max((parse_time(one) for one in told if one), default=None)
    if journeys is None or not len(journeys.code) or known is None:
        return not_asked("bundle", "recency", "no touchpoints to be recent")
    newest = int(journeys.occurred_at.max())
    behind_days = max(0.0, (known - newest) / DAY)
    passed = not policy.behind_days or behind_days <= policy.behind_days
    said = f"judged on touchpoints up to {format_time(newest)[:16]}; learned from up to {format_time(known)[:16]}"
    fix = "" if passed else f"; at most {policy.behind_days:g} days behind: export again"
    return judged("bundle", "recency", passed, said + fix, behind_days=round(behind_days, 3))


def _golden(
    champion: LoadedBundle | None, challenger: LoadedBundle, golden: pd.DataFrame | None, policy: GatePolicy
) -> Check:
    """The cases that people settled and nobody learns from."""
    if golden is None or golden.empty or challenger.feedback is None:
        return not_asked("feeling", "golden set", "no golden case yet")
    ours = _right(challenger, golden)
    if champion is None or champion.feedback is None:
        return not_asked("feeling", "golden set", f"{ours:.1%} of {len(golden)} read rightly; no champion that reads")
    theirs = _right(champion, golden)
    told = f"{ours:.1%} of {len(golden)} read rightly; the champion {theirs:.1%}"
    passed = ours >= theirs - policy.golden_lost_share
    return judged("feeling", "golden set", passed, told, n=len(golden), challenger=ours, champion=theirs)


def _right(bundle: LoadedBundle, golden: pd.DataFrame) -> float:
    told = polarities(bundle, list(golden["text"])).argmax(axis=1)
    right = golden["answer"].map(POLARITIES.index).to_numpy()
    return round(float((told == right).mean()), 5)
