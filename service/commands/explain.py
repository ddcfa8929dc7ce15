"""explain: what stands behind an answer that was given: features, version, policy, thresholds; and it once more.

Loads the bundle that answered then and asks it again about what was known then; says whether it answers the same, to
the digit. Reads only: nothing is concluded anew, and no case is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from sqlalchemy import Row

from models import ledger
from models.bundle import Bundle, BundleError, LoadedBundle, load_bundle
from models.contradiction import seen_in, with_behaviour
from models.insight import Conclusion, Insight, ModelVersion
from models.journey.event import Micros, format_time
from models.ledger import LedgerError, LiveEntry
from service.commands.console import AsJson, opened
from service.customers.identity import find_customer
from service.customers.store import words_by_id
from service.errors import Conflict, NotFound
from service.insights import store
from service.insights.conclude import Known, look
from service.insights.moments import moment_of
from service.insights.reading import insight_at
from service.insights.shape import answer_of
from service.live.bundles import Live
from service.state import State

app = typer.Typer()
Load = Callable[[Path, int], Bundle]


@app.command("explain")
def explain_command(
    asked: Annotated[str, typer.Argument(metavar="ID", help="Id of a conclusion, or any id of a customer.")],
    as_of: Annotated[
        str | None, typer.Option(help="Of a customer: what was answered at this moment, by what was live then.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What stands behind an answer that was given, and whether it comes out the same again."""
    with opened() as state:
        told = explained(state, asked, None if as_of is None else moment_of("as_of", as_of))
    print(json.dumps(told, ensure_ascii=False) if as_json else "\n".join(_lines(told)))


def explained(state: State, asked: str, as_of: Micros | None = None, load: Load = load_bundle) -> dict[str, Any]:
    """All that stands behind a conclusion or an insight.

    Raises NotFound for an id that nothing is known of, Conflict where the bundle that answered is gone.
    """
    with state.service.read() as connection:
        row = store.get_conclusion(connection, asked)
    if row is not None:
        return _of_conclusion(state, row, load)
    customer = find_customer(state, asked)
    return _of_customer(state, customer, as_of, load)


def _of_customer(state: State, customer: str, as_of: Micros | None, load: Load) -> dict[str, Any]:
    given: dict[str, Any] | None = None
    if as_of is not None:
        entry = _live_then(state, as_of)
        at, version, digest = as_of, entry.version, entry.digest
    else:
        with state.service.read() as connection:
            row = store.get_insight(connection, customer)
        if row is None:
            raise NotFound(f"Nothing was concluded about {customer!r} yet.", "Let the worker come to it, or give "
                           "--as-of.", code="no_insight", field="ID", value=customer)  # fmt: skip
        at, version, digest = row.as_of, row.version, row.digest
        given = _plain(msgspec.json.decode(row.provisional_body))
    live = _opened(state, version, digest, load)
    insight = insight_at(state, live, customer, at)
    again = _plain(answer_of(insight, None, provisional=True))
    return {
        "customer_id": customer,
        "as_of": format_time(at),
        **_behind(state, live),
        "features": _features(insight),
        "answer": given if given is not None else again,
        "again": again,
        **_compared(given, again),
    }


def _of_conclusion(state: State, row: Row[Any], load: Load) -> dict[str, Any]:
    live, given = _opened(state, row.version, row.digest, load), store.restored(row)
    with state.service.read() as connection:
        said = words_by_id(connection, row.subject)
        known = look(connection, state, live, [row.customer_id], row.concluded_at)
    if said is None:
        raise NotFound("The words that this conclusion is about are no longer kept.", "Ask about another conclusion.",
                       code="no_words", field="ID", value=row.conclusion_id)  # fmt: skip
    again = known.bundle.conclude_feedback([said.feedback], state.settings.policy)[0]
    again = _beside_behaviour(again, known, said.feedback.said_at, row.concluded_at)
    shown = [_conclusion(one) for one in (given, again)]
    by_person = given.decided_by == "person"
    return {
        "conclusion_id": row.conclusion_id,
        "customer_id": row.customer_id,
        "concluded_at": format_time(row.concluded_at),
        "policy_then": row.policy_digest,
        **_behind(state, live, said.feedback.channel),
        "answer": shown[0],
        "again": shown[1],
        **_compared(None if by_person else shown[0], shown[1]),
    }


def _beside_behaviour(one: Conclusion, known: Known, said_at: Micros, at: Micros) -> Conclusion:
    return with_behaviour(one, said_at, seen_in(known.journeys, 0, at)) if len(known.journeys) else one


def _live_then(state: State, moment: Micros) -> LiveEntry:
    try:
        found = ledger.live_at(state.settings.mlruns_dir, moment)
    except LedgerError as error:
        raise Conflict(f"The ledger cannot be read: {error}.", "Mend the file.", code="ledger_unreadable") from None
    if found is None:
        raise NotFound(f"Nothing was live at {format_time(moment)}.", "See `python -m training history`.",
                       code="nothing_live", field="as_of", value=format_time(moment))  # fmt: skip
    return found


def _opened(state: State, version: int, digest: str | None, load: Load) -> Live:
    """The bundle that answered, opened again; none where the answer is from before there was one."""
    if digest is None:
        return Live(None, ModelVersion(version, None, None))
    root = state.settings.mlruns_dir
    try:
        bundle = load(ledger.bundle_folder(root, digest), state.settings.onnx_threads)
        return Live(bundle, ModelVersion(version, digest, ledger.read_entry(root, version).live_since))
    except (BundleError, LedgerError) as error:
        raise Conflict(f"Version {version}, which answered, cannot be asked again: {error}.",
                       "Put its bundle back under versions/.", code="bundle_gone") from None  # fmt: skip


def _behind(state: State, live: Live, channel: str | None = None) -> dict[str, Any]:
    """Version, policy, and the thresholds that follow from both."""
    policy, bundle = state.settings.policy, live.bundle
    told = {"alpha": policy.alpha, "delta": policy.delta, "coverage": policy.coverage, "digest": policy.digest}
    thresholds: dict[str, Any] = {}
    if isinstance(bundle, LoadedBundle):
        if bundle.measured.feeling is not None:
            rule = bundle.measured.feeling.rule(policy.alpha, policy.delta, channel or "all")
            thresholds["feeling"] = rule.to_dict()
        if bundle.measured.next_touchpoint is not None:
            thresholds["next_touchpoint"] = bundle.measured.next_touchpoint.set_for(policy.coverage).to_dict()
    return {"model": live.model.to_dict(), "policy": told, "thresholds": thresholds}


def _features(insight: Insight) -> dict[str, dict[str, float]]:
    """What each likelihood was made of, by target."""
    return {
        one.target.name: {name: float(value) for name, value in zip(one.names, one.values, strict=True)}
        for one in insight.behind
    }


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it, without what is no conclusion: how far the review is."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    plain.get("feeling", {}).pop("review", None)
    return plain


def _conclusion(one: Conclusion) -> dict[str, Any]:
    return _plain(one.to_dict(provisional=True))


def _compared(given: Mapping[str, Any] | None, again: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the answer comes out the same; null where there is nothing of the model's to compare with."""
    if given is None:
        return {"reproduced": None, "differs": []}
    differs = list(_differing(given, again))
    return {"reproduced": not differs, "differs": differs}


def _differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Dotted names of what two answers say otherwise."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            yield from _differing(one.get(name), other.get(name), f"{path}.{name}" if path else name)
    elif one != other:
        yield path


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    model, policy = told["model"], told["policy"]
    yield f"customer {told['customer_id']}, as of {told.get('as_of', told.get('concluded_at'))}"
    yield f"version {model['version']} ({str(model['digest'])[:12]}), live since {model['live_since']}"
    risks = ", ".join(f"{name} {policy[name]}" for name in ("alpha", "delta", "coverage"))
    yield f"policy {policy['digest'][:12]}: {risks}"
    for name, rule in told["thresholds"].items():
        yield f"threshold of {name}: {json.dumps(rule)}"
    for target, features in told.get("features", {}).items():
        yield f"features of {target}:"
        yield from (f"  {name} = {value:g}" for name, value in features.items() if value)
    yield json.dumps(told["answer"], indent=1, ensure_ascii=False)
    if told["reproduced"] is None:
        yield "asked again: nothing of the model's was stored to compare with"
    elif told["reproduced"]:
        yield "asked again: the same, to the digit"
    else:
        yield f"asked again: differs in {', '.join(told['differs'])}"
