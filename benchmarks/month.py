"""Two or three months of weekly retraining, unattended, with planted events: `python -m benchmarks.month --seed 2`.

A made-up company is exported each week; the run learns, is judged beside the champion and goes live or does not. What
befalls it is in `planted.py`. Whether a week's challenger should have gone live is not a matter of opinion: customers
that nobody learned from are asked in the weeks after (`fresh.py`), and a challenger that is truly worse by more than
the gate's margin, or answers less, should be refused; one whose export was faulty, too. At the end somebody rolls back
by date. Nothing is looked at in between. Feelings are left out but for `--with-feelings`, which puts real words into
customers' mouths (`words.py`) and lets the heads learn on the shipped encoder; labels keep their contract either way.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import planted
from benchmarks.fresh import Fresh, Truth
from benchmarks.planted import Plant, World
from benchmarks.report import about, merged, of_run, options, table, write
from benchmarks.words import Words, read_words, spoken
from models.bundle import load_bundle
from models.insight import ModelVersion, ReleasePolicy
from models.journey.assembly import assemble
from models.journey.event import DAY, Micros, format_time
from models.journey.eventlog import read_events
from models.journey.target import Target
from models.journey.touchpoint import Catalogue
from models.ledger import bundle_folder, current, history, live_at
from training.config import TrainConfig
from training.console import Quiet
from training.contract.finding import ContractError
from training.gate.bundles import answered
from training.pipeline import run
from training.policies import GatePolicy
from training.promote import judgements, roll_back
from training.simulator import simulate

VISITED = Target("visit", ("dealer.visit",), 30 * 86_400)
MARGINS = {"log-loss": GatePolicy().worse_nats, "Brier": GatePolicy().worse_brier}
NOTES = (
    "Each week the run of that week either went live or was refused; the ledger's own sentence says why. *True* is by "
    "how much the challenger's log-loss (nats), and after it its Brier score, lay above the champion's on customers "
    "that nobody learned from, in the weeks after (95 % interval). A challenger *should* be refused where its export "
    "was faulty, where it answers less, or where it is truly worse by more than the gate's margins, "
    f"{MARGINS['log-loss']} and {MARGINS['Brier']}. The rules were chosen by seeds 1 and 7, the clock of the latency "
    "check by three weeks of seed 3. Seed 4 had two weeks wrong when it was first looked at: the gate refused one for "
    "its Brier score, which the truth did not ask for then and which was truly worse; and one for its ECE alone, which "
    "was right more often than it said and is no longer refused for that (decision 0024, point 10).",
    "",
    "Nets are short here, so that a week takes half a minute: what they say of a world that has just moved can be "
    "worse than what counts alone say. With a hundredfold learning rate nothing is learned by the nets, the mixture "
    "gives them no share, and that is then truly better. What is fumbled need not be refused; what is worse must.",
    "",
    "*With feelings*: what customers say is real words (tweets to airlines with a crowd's labels, sarcasm by tweets"
    " that their authors call so), and the heads learn each week on the shipped encoder. Growing sarcasm is "
    "labelled by people here, so the challenger should go live: it has read what the champion takes for joy. Labels"
    " turned by a bug are the contract's to refuse, labels poisoned quietly the behaviour suite's, for both bundles"
    " are measured by the same labels. Seed 8 was the first that was looked at: a week was refused for one sentence"
    " of the behaviour suite, another for an ECE on 108 texts, and neither is since (decision 0024, points 10 and "
    "11); its table below is of after the first change and before the second. Week 3 was refused for a Brier score "
    "that was truly worse, by 0.0034 where 0.005 are allowed: luck of the draw, which costs a week. Of seed 9, unseen, "
    "the first bundle lost to a Markov model by 0.0102 nats where 0.01 are a tie, and the last was refused for one "
    "channel, which the truth does not ask for.",
)
CHOSEN_BY = (1, 3, 4, 7, 8)
ASKED = 60
"""So many customers are asked about before and after the rollback."""
FRESH_CUSTOMERS, FRESH_SEED = 4000, 100_000
AFTER_DAYS = 38
"""The last export is made so long before the end: what comes after is what fresh customers are asked about."""
NEVER = 1_000_000
"""More texts than there are: the question is not learned."""


@dataclass(frozen=True)
class Week:
    """What happens before a week's export. `faulty` says that the export is: nothing should be learned from it.

    `stays` says that the world is so from then on; `fumbled` which settings somebody got wrong.
    """

    name: str
    plant: Plant = planted.nothing
    faulty: bool = False
    stays: bool = False
    fumbled: str = ""
    needs_feelings: bool = False


WEEKS = (
    Week("first"),
    Week("steady"),
    Week("a new channel", planted.new_channel, stays=True),
    Week("a campaign shifts the mix", planted.campaign, stays=True),
    Week("growing sarcasm", planted.sarcasm, stays=True),
    Week("labels turned by a bug", planted.turned_labels, faulty=True),
    Week("a poisoned batch", planted.poisoned_batch, faulty=True),
    Week("labels poisoned quietly", planted.quiet_poison, faulty=True, needs_feelings=True),
    Week("last winter's export", planted.old_export, faulty=True),
    Week("a learning rate a hundredfold", fumbled="learning rate"),
    Week("the settings of a trial", fumbled="trial"),
    Week("healthy again"),
)


@dataclass(frozen=True)
class Size:
    """How much is learned, and how long."""

    customers: int
    epochs: int
    seed: int
    feelings: bool


def exported(world: World, as_of: pd.Timestamp, folder: Path) -> Path:
    """What was known by then, as files."""
    folder.mkdir(parents=True)
    events = world.events[(world.events["occurred_at"] <= as_of) & (world.events["received_at"] <= as_of)]
    events.to_parquet(folder / "events.parquet")
    world.feedback[world.feedback["said_at"] <= as_of].to_parquet(folder / "feedback.parquet")
    return folder


def settings(root: Path, folder: Path, size: Size, week: Week) -> TrainConfig:
    """Usual settings with shorter nets: it is judging that is tried here. Fumbled as somebody in a hurry would."""
    events, feedback = folder / "events.parquet", folder / "feedback.parquet"
    config = TrainConfig(events=events, feedback=feedback, out=root, seed=size.seed, targets=(VISITED,))
    following, purchase = replace(config.next_touchpoint, epochs=size.epochs, threads=1), config.purchase
    feeling = replace(config.feeling, threads=1, unfrozen_layers=0)
    feeling = feeling if size.feelings else replace(feeling, least_texts=NEVER)
    if week.fumbled == "learning rate":
        following = replace(following, learning_rate=100 * following.learning_rate)
    if week.fumbled == "trial":
        following = replace(following, epochs=1, members=2, markov_order=1)
        purchase = replace(purchase, most_examples=300)
    return replace(config, next_touchpoint=following, purchase=purchase, feeling=feeling)


def answers(root: Path, folder: Path, as_of: Micros) -> list[str]:
    """What the live bundle concludes of some customers, to the last digit."""
    live = current(root)
    assert live is not None
    bundle = load_bundle(bundle_folder(root, live.digest))
    journeys = assemble(read_events(folder / "events.parquet"), Catalogue.default()).journeys
    some = journeys.take(np.arange(0, len(journeys), max(1, len(journeys) // ASKED)))
    moments = np.full(len(some), as_of, dtype=np.int64)
    found = bundle.concluded(some, moments, [None] * len(some), ModelVersion(0, None, None), ReleasePolicy()).insights()
    return [json.dumps(one.to_dict(), sort_keys=True) for one in found]


def company(customers: int, seed: int, folder: Path, words: Words | None) -> World:
    """Drawn anew, with nothing planted yet."""
    simulate(customers, seed, folder)
    events, feedback = (pd.read_parquet(folder / f"{name}.parquet") for name in ("events", "feedback"))
    world = World(events, feedback.assign(sarcastic=False), np.random.default_rng(seed))
    if words is None:
        return world
    return replace(world, feedback=spoken(feedback, words, world.rng), sarcastic=words.sarcastic)


def month(folder: Path, size: Size, data: Path) -> dict[str, Any]:
    """Every week in its order, then the rollback."""
    weeks = [week for week in WEEKS if size.feelings or not week.needs_feelings]
    ours, theirs = read_words(data) if size.feelings else (None, None)
    world = company(size.customers, size.seed, folder / "company", ours)
    others = company(FRESH_CUSTOMERS, size.seed + FRESH_SEED, folder / "others", theirs)
    fresh, root, rows = Fresh(folder / "others"), folder / "mlruns", []
    end = world.events["occurred_at"].max() - pd.Timedelta(days=AFTER_DAYS)
    then: dict[int, tuple[Path, Micros, list[str]]] = {}
    for number, week in enumerate(weeks):
        as_of = end - pd.Timedelta(days=7 * (len(weeks) - 1 - number))
        befallen = week.plant(world, as_of)
        if week.stays:
            world, others = befallen, week.plant(others, as_of)
        place, now = exported(befallen, as_of, folder / f"week-{number}"), int(as_of.value // 1000) + DAY // 24
        begun, before = time.monotonic(), current(root)
        did, why, digest = one_week(settings(root, place, size, week), now)
        took = round(time.monotonic() - begun)
        champion = before.digest if before else None
        true, lost = truth_of(root, champion, digest, fresh, others, int(as_of.value // 1000))
        rows.append({"week": number, "planted": week.name, "should": should(week, true, lost), "did": did, "why": why,
                     "true": [asdict(one) for one in true], "seconds": took})  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201 - a run of many minutes shows where it is
        if current(root) is not None:
            then[number] = (place, now, answers(root, place, now))
    return {"weeks": rows, "rollback": rolled_back(root, then[1]), **ledger_of(root)}


def one_week(config: TrainConfig, now: Micros) -> tuple[str, str, str | None]:
    """Learn and be judged; which of promote and refuse it came to, why, and the bundle that was learned."""
    try:
        report = run(config, clock=lambda: now, by="cron", reporter=Quiet())
    except ContractError as broken:
        return "refuse", str(broken), None
    return ("promote" if report.version is not None else "refuse"), report.why, report.digest


def truth_of(
    root: Path, champion: str | None, challenger: str | None, fresh: Fresh, others: World, since: Micros
) -> tuple[list[Truth], list[str]]:
    """What is true of the challenger beside the champion, and what it answers no longer."""
    if champion is None or challenger is None:
        return [], []
    one, other = (load_bundle(bundle_folder(root, digest)) for digest in (champion, challenger))
    true = fresh.told(others.events, others.feedback, one, other, since)
    return true, sorted(answered(one) - answered(other))


def should(week: Week, true: Sequence[Truth], lost: Sequence[str]) -> str:
    """Refuse what is faulty, what answers less and what is truly worse by more than the gate lets pass."""
    worse = any(one.mean > MARGINS[one.score] for one in true if one.decides)
    return "refuse" if week.faulty or lost or worse else "promote"


def rolled_back(root: Path, before: tuple[Path, Micros, list[str]]) -> dict[str, Any]:
    """Back to what was live on a day, by that day: the same answers to the same questions.

    Where that is live still, nothing is rolled back, and the answers are compared as they are.
    """
    place, moment, told = before
    day, live, past = format_time(moment)[:10], current(root), live_at(root, moment)
    if live is None or past is None or live.digest == past.digest:
        return {"day": day, "version": None, "why": "live still", "asked": len(told),
                "same": answers(root, place, moment) == told, "seconds": 0.0}  # fmt: skip
    begun = time.monotonic()
    entry = roll_back(root, day, moment + 90 * DAY, "eve", "answers went wrong since")
    seconds = time.monotonic() - begun
    return {"day": day, "version": entry.version, "why": entry.why, "asked": len(told),
            "same": answers(root, place, moment) == told, "seconds": round(seconds, 3)}  # fmt: skip


def ledger_of(root: Path) -> dict[str, Any]:
    """What an auditor reads."""
    refused = [{"at": one["judged_at"], "why": one["why"]} for one in judgements(root) if not one["passed"]]
    return {"live": [one.to_dict() for one in history(root)], "refused_by_gate": refused,
            "left_behind": sorted(path.name for path in root.glob(".*"))}  # fmt: skip


def right(told: Mapping[str, Any]) -> int:
    """In how many weeks it was done as it should."""
    return sum(one["should"] == one["did"] for one in told["weeks"])


def summary(sets: Mapping[str, Any]) -> str:
    """A line for each company."""
    rows = [
        [name, "chosen by" if told["seed"] in CHOSEN_BY else "unseen", f"{right(told)} of {len(told['weeks'])}",
         "to the digit" if told["rollback"]["same"] else "NOT THE SAME", f"{told['seconds']} s"]
        for name, told in sets.items()
    ]  # fmt: skip
    return table("In short", ("company", "seed", "weeks as they should", "rollback by date", "took"), rows)


def shown(name: str, told: Mapping[str, Any]) -> str:
    """Every week of one company."""
    rows = [
        [str(one["week"]), one["planted"], "; ".join(str(Truth(**each)) for each in one["true"]) or "-", one["should"],
         one["did"] if one["did"] == one["should"] else f"**{one['did']}**", one["why"]]
        for one in told["weeks"]
    ]  # fmt: skip
    back = told["rollback"]
    same = "the same, to the digit" if back["same"] else "NOT THE SAME"
    below = (
        f"{right(told)} of {len(rows)} weeks as they should; rolled back to {back['day']} as version {back['version']} "
        f"in {back['seconds']} s: {back['asked']} answers {same}. {of_run(told)}"
    )
    return table(name, ("week", "planted", "true", "should", "did", "the ledger's words"), rows, below)


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--customers", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--with-feelings", action="store_true")
    chosen, begun = parser.parse_args(), time.monotonic()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as scratch:
        size = Size(chosen.customers, chosen.epochs, chosen.seed, chosen.with_feelings)
        found = month(Path(scratch), size, chosen.data)
    told = {"about": about(), "seconds": round(time.monotonic() - begun), "customers": chosen.customers,
            "seed": chosen.seed, **found}  # fmt: skip
    name = f"{chosen.customers} customers, seed {chosen.seed}" + (", with feelings" if chosen.with_feelings else "")
    sets = merged("month", {name: told})
    text = [summary(sets), *(shown(each, one) for each, one in sets.items())]
    write("month", "Weekly retraining with planted events", NOTES, sets, text)


if __name__ == "__main__":
    main()
