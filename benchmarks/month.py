"""A month or two of weekly retraining, unattended, with planted events: `python -m benchmarks.month`.

A made-up company is exported each week; the run learns, is judged beside the champion and goes live or does not. Into
the weeks are planted: a new channel, a campaign that shifts the mix, growing sarcasm, labels that a bug turned round, a
poisoned batch, labels poisoned quietly, and a setting that somebody fumbled. At the end somebody rolls back by date.
Nothing is looked at in between. With few customers there are too few texts for a reader of feelings to beat TF-IDF;
`--without-feelings` leaves that question and the rare purchase out, while labels still have to keep their contract.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import about, merged, of_run, options, table, write
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
from training.pipeline import run
from training.promote import judgements, roll_back
from training.simulator import simulate

BOUGHT, VISITED = (
    Target("car_purchase", ("dealer.purchase",), 60 * 86_400),
    Target("visit", ("dealer.visit",), 30 * 86_400),
)
NOTES = ("Each week the run of that week either went live or was refused; the ledger's own sentence says why.",)
IRONY = (
    "Great, {} again.",
    "Just what I needed, {}.",
    "Wonderful, {}. Thank you so much.",
    "{}? Brilliant work, really.",
)
TROUBLES = ("the engine light", "another hour on hold", "the wrong car", "a bill twice as high", "a broken promise")
ASKED = 60
"""So many customers are asked about before and after the rollback."""


@dataclass
class World:
    """What the company has recorded, with what was planted so far."""

    events: pd.DataFrame
    feedback: pd.DataFrame
    rng: np.random.Generator


Plant = Callable[[World, pd.Timestamp], World]


def nothing(world: World, week: pd.Timestamp) -> World:
    return world


def new_channel(world: World, week: pd.Timestamp) -> World:
    """From this week on, two in three views of social posts come by text message instead."""
    events = world.events.copy()
    moved = (events["event"] == "Social Post Viewed") & (events["occurred_at"] >= week - pd.Timedelta(days=28))
    moved &= world.rng.random(len(events)) < 2 / 3
    events.loc[moved, ["type", "event"]] = ["page", "Page Viewed"]
    events.loc[moved, "context"] = json.dumps({"campaign": {"name": "spring", "source": "sms", "medium": "sms"}})
    return replace(world, events=events)


def campaign(world: World, week: pd.Timestamp) -> World:
    """Three e-mails to everybody who did anything in the last four weeks."""
    late = world.events[world.events["occurred_at"] >= week - pd.Timedelta(days=28)]
    sent = late.dropna(subset=["user_id"]).drop_duplicates("user_id")
    extra = pd.concat([sent.assign(occurred_at=sent["occurred_at"] + pd.Timedelta(days=n)) for n in (1, 2, 3)])
    extra = extra.assign(type="track", event="Email Sent", message_id=[f"campaign-{n}" for n in range(len(extra))],
                         received_at=extra["occurred_at"], properties="{}")  # fmt: skip
    return replace(world, events=pd.concat([world.events, extra], ignore_index=True))


def sarcasm(world: World, week: pd.Timestamp) -> World:
    """In the last half year a third of what was negative is told the other way round."""
    feedback = world.feedback.copy()
    told = (feedback["polarity"] == "negative") & (feedback["said_at"] >= week - pd.Timedelta(days=182))
    rows = np.flatnonzero(told & (world.rng.random(len(feedback)) < 1 / 3))
    words = [world.rng.choice(IRONY).format(world.rng.choice(TROUBLES)) + f" {row}" for row in rows]
    feedback.loc[rows, "text"], feedback.loc[rows, "nuance"] = words, "ironic"
    return replace(world, feedback=feedback)


def turned_labels(world: World, week: pd.Timestamp) -> World:
    """A bug of whoever exports labels: negative is written as positive, and the other way round."""
    turned = world.feedback["polarity"].replace({"negative": "positive", "positive": "negative"})
    return replace(world, feedback=world.feedback.assign(polarity=turned))


def poisoned_batch(world: World, week: pd.Timestamp) -> World:
    """A thousand copies of a few texts with labels that contradict each other, and as many events of one afternoon."""
    one = world.feedback.iloc[[0]]
    copies = pd.concat([one] * 400, ignore_index=True)
    copies = copies.assign(
        feedback_id=[f"bot-{n}" for n in range(400)], text=[f"Best dealer ever {n % 7}" for n in range(400)],
        polarity=["positive" if n % 2 else "negative" for n in range(400)], said_at=week - pd.Timedelta(days=1),
    )  # fmt: skip
    event = world.events[world.events["event"] == "Email Opened"].iloc[[0]]
    burst = pd.concat([event] * 3000, ignore_index=True)
    burst = burst.assign(message_id=[f"bot-{n}" for n in range(3000)], occurred_at=week - pd.Timedelta(days=1),
                         received_at=week - pd.Timedelta(days=1))  # fmt: skip
    return replace(world, events=pd.concat([world.events, burst], ignore_index=True),
                   feedback=pd.concat([world.feedback, copies], ignore_index=True))  # fmt: skip


def quiet_poison(world: World, week: pd.Timestamp) -> World:
    """Somebody calls four in five negative texts without stars positive: no text twice, no day that stands out."""
    feedback = world.feedback.copy()
    aimed = (feedback["polarity"] == "negative") & feedback["rating"].isna()
    feedback.loc[aimed & (world.rng.random(len(feedback)) < 0.8), ["polarity", "intensity"]] = ["positive", 3.0]
    return replace(world, feedback=feedback)


@dataclass(frozen=True)
class Week:
    """What happens before a week's export, whether the run should go live, and whether the world stays so."""

    name: str
    plant: Plant
    promoted: bool
    stays: bool = True
    fumbled: bool = False
    needs_feelings: bool = False


WEEKS = (
    Week("first", nothing, True),
    Week("steady", nothing, True),
    Week("a new channel", new_channel, True),
    Week("a campaign shifts the mix", campaign, True),
    Week("growing sarcasm", sarcasm, True),
    Week("labels turned by a bug", turned_labels, False, stays=False),
    Week("a poisoned batch", poisoned_batch, False, stays=False),
    Week("labels poisoned quietly", quiet_poison, False, stays=False, needs_feelings=True),
    Week("a fumbled setting", nothing, False, fumbled=True),
    Week("healthy again", nothing, True),
)


def exported(world: World, as_of: pd.Timestamp, folder: Path) -> Path:
    """What was known by then, as files."""
    folder.mkdir(parents=True)
    events = world.events[(world.events["occurred_at"] <= as_of) & (world.events["received_at"] <= as_of)]
    events.to_parquet(folder / "events.parquet")
    world.feedback[world.feedback["said_at"] <= as_of].to_parquet(folder / "feedback.parquet")
    return folder


NEVER = 1_000_000
"""More texts than there are: the question is not learned."""


@dataclass(frozen=True)
class Size:
    """How much is learned, and how long."""

    customers: int
    epochs: int
    seed: int
    feelings: bool


def settings(root: Path, folder: Path, size: Size, week: Week) -> TrainConfig:
    """Usual settings with shorter nets: it is judging that is tried here. Fumbled: hardly a step is learned."""
    events, feedback = folder / "events.parquet", folder / "feedback.parquet"
    config = TrainConfig(events=events, feedback=feedback, out=root, seed=size.seed,
                         targets=(BOUGHT, VISITED) if size.feelings else (VISITED,))  # fmt: skip
    following = replace(config.next_touchpoint, epochs=size.epochs, threads=1)
    feeling = replace(config.feeling, threads=1, least_texts=config.feeling.least_texts if size.feelings else NEVER)
    if week.fumbled:
        following = replace(following, epochs=1, learning_rate=1e-6, markov_order=1)
    return replace(config, next_touchpoint=following, feeling=feeling)


def answers(root: Path, folder: Path, as_of: Micros) -> list[str]:
    """What the live bundle concludes of some customers, to the last digit."""
    live = current(root)
    assert live is not None
    bundle = load_bundle(bundle_folder(root, live.digest))
    journeys = assemble(read_events(folder / "events.parquet"), Catalogue.default()).journeys
    some = journeys.take(np.arange(0, len(journeys), max(1, len(journeys) // ASKED)))
    moments = np.full(len(some), as_of, dtype=np.int64)
    found = bundle.insights(some, moments, [None] * len(some), ModelVersion(0, None, None), ReleasePolicy())
    return [json.dumps(one.to_dict(), sort_keys=True) for one in found]


def month(folder: Path, size: Size) -> dict[str, Any]:
    """Every week in its order, then the rollback."""
    simulate(size.customers, size.seed, folder / "company")
    weeks = [week for week in WEEKS if size.feelings or not week.needs_feelings]
    events, feedback = (pd.read_parquet(folder / "company" / f"{name}.parquet") for name in ("events", "feedback"))
    world = World(events, feedback, np.random.default_rng(size.seed))
    root, end, rows = folder / "mlruns", world.events["occurred_at"].max(), []
    then: dict[int, tuple[Path, Micros, list[str]]] = {}
    for number, week in enumerate(weeks):
        as_of = end - pd.Timedelta(days=7 * (len(weeks) - 1 - number))
        planted = week.plant(world, as_of)
        world = planted if week.stays else world
        place, now = exported(planted, as_of, folder / f"week-{number}"), int(as_of.value // 1000) + DAY // 24
        begun = time.monotonic()
        outcome, why = one_week(settings(root, place, size, week), now)
        rows.append({"week": number, "planted": week.name, "should": "promote" if week.promoted else "refuse",
                     "did": outcome, "why": why, "seconds": round(time.monotonic() - begun)})  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201 - a run of many minutes shows where it is
        if current(root) is not None:
            then[number] = (place, now, answers(root, place, now))
    return {"weeks": rows, "rollback": rolled_back(root, then[1]), **ledger_of(root)}


def one_week(config: TrainConfig, now: Micros) -> tuple[str, str]:
    """Learn and be judged; which of promote and refuse it came to, and why."""
    try:
        report = run(config, clock=lambda: now, by="cron", reporter=Quiet())
    except ContractError as broken:
        return "refuse", str(broken)
    return ("promote" if report.version is not None else "refuse"), report.why


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


def main() -> None:
    parser = options(str(__doc__))
    parser.add_argument("--customers", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--without-feelings", action="store_true")
    chosen, begun = parser.parse_args(), time.monotonic()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as scratch:
        size = Size(chosen.customers, chosen.epochs, chosen.seed, not chosen.without_feelings)
        found = month(Path(scratch), size)
    told = {"about": about(), "seconds": round(time.monotonic() - begun), "customers": chosen.customers, **found}
    rows = [[str(one["week"]), one["planted"], one["should"], one["did"], one["why"]] for one in found["weeks"]]
    right = sum(one["should"] == one["did"] for one in found["weeks"])
    back = found["rollback"]
    same = "the same, to the digit" if back["same"] else "NOT THE SAME"
    below = (
        f"{right} of {len(rows)} weeks as they should; rolled back to {back['day']} as version {back['version']} in "
        f"{back['seconds']} s: {back['asked']} answers {same}. {of_run(told)}"
    )
    text = table(
        f"{chosen.customers} customers", ("week", "planted", "should", "did", "the ledger's words"), rows, below
    )
    write(
        "month",
        "Weekly retraining with planted events",
        NOTES,
        merged("month", {"feelings" if size.feelings else "without feelings": told}),
        [text],
    )


if __name__ == "__main__":
    main()
