"""GET /v1/models: what is live since when, how good each of its models was measured to be, and its promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from models import ledger
from models.bundle import LoadedBundle
from models.conclude import feeling_promise
from models.insight import Promise, ReleasePolicy
from models.ledger import LedgerError
from models.measured import LEAST_CALIBRATION_CASES, LEAST_COVERAGE_CASES
from models.watched import Key as PromiseKey
from models.watched import Standing
from service.access.keys import Key, require
from service.errors import Forbidden, Unauthorized, Unavailable
from service.errors import documented as problems
from service.live.bundles import LiveBundles, bundles_of
from service.promises import shifts
from service.promises.store import standing_now
from service.responses import as_json
from service.state import State, state_of

router = APIRouter(prefix="/v1/models", tags=["models"])

MOST_TOLD = 20
"""Entries of the ledger, the newest first."""


@router.get("", responses=problems(Unauthorized, Forbidden, Unavailable))
def read_models(
    state: Annotated[State, Depends(state_of)],
    bundles: Annotated[LiveBundles, Depends(bundles_of)],
    _: Annotated[Key, Depends(require("read", "provisional"))],
) -> Response:
    """What is live since when, by whom and why; the figures of each model; and its promises, and whether they stand.

    `problem` says why the newest entry is not the one that serves. What became of the promises: GET /v1/promises.
    """
    return as_json(told(state, bundles))


def told(state: State, bundles: LiveBundles) -> dict[str, Any]:
    """The public shape."""
    live = bundles.now()
    try:
        entries = [one.to_dict() for one in reversed(ledger.history(bundles.root)[-MOST_TOLD:])]
    except LedgerError:
        entries = []  # `problem` tells of it
    bundle, policy = live.bundle, state.settings.policy
    stands = standing_now(state, live.model.digest)
    models: list[dict[str, Any]] = []
    if isinstance(bundle, LoadedBundle):
        promised = promises_of(bundle, policy)
        for name, figures in _figures(bundle).items():
            own = [(key, one) for key, one in promised.items() if key[0] == name]
            models.append({"name": name, "status": figures.get("status", "trained"), "figures": figures,
                           "promises": [_promise(key, one, stands) for key, one in own]})  # fmt: skip
    learned = dict(bundle.manifest["learned_from"]) if isinstance(bundle, LoadedBundle) else {}
    return {
        "live": live.model.to_dict(), "problem": bundles.problem, "models": models,
        "learned_from": {name: learned[name] for name in ("customers", "touchpoints", "texts", "verdicts", "first_at",
                                                          "last_at") if name in learned},
        "history": entries,
    }  # fmt: skip


def promises_of(bundle: LoadedBundle, policy: ReleasePolicy) -> dict[PromiseKey, Promise]:
    """Each promise of a bundle as it was measured, under this policy."""
    measured, found = bundle.measured, dict[PromiseKey, Promise]()
    for kind in shifts.KINDS:
        for key in shifts.promised(bundle, kind, policy):
            name, _, definition = key[0].partition(":")
            if name == "feeling" and measured.feeling is not None:
                rule = measured.feeling.rule(policy.alpha, policy.delta, key[1])
                found[key] = feeling_promise(rule, measured.feeling)
            elif name == "next_touchpoint" and measured.next_touchpoint is not None:
                n, enough = measured.next_touchpoint.set_for(policy.coverage).n, measured.next_touchpoint.n
                terms = {"at_least": policy.coverage}
                found[key] = Promise("coverage", terms, key[1], n[key[1]], enough >= LEAST_COVERAGE_CASES)
            elif (purchase := (measured.purchase or {}).get(definition)) is not None:
                holds = purchase.held and purchase.n >= LEAST_CALIBRATION_CASES
                found[key] = Promise("calibration", {"within": "interval"}, key[1], purchase.n, holds)
    return found


def _figures(bundle: LoadedBundle) -> dict[str, Mapping[str, Any]]:
    """What was measured when it was taught, by model: each target of purchase by itself."""
    figures: dict[str, Mapping[str, Any]] = dict(bundle.manifest["figures"])
    purchases = figures.pop("purchase", {})
    return figures | {f"purchase:{name}": one for name, one in purchases.items()}


def _promise(key: PromiseKey, one: Promise, stands: Standing) -> dict[str, Any]:
    shown, why = one.to_dict(), stands.withdrawn.get(key)
    return {**shown, "standing": shown["standing"] and why is None, "why": why}
