"""What befalls the company of `benchmarks/month.py`: changes of its world, and faults of what is exported of it.

Nothing is trained or judged here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

IRONY = (
    "Great, {} again.",
    "Just what I needed, {}.",
    "Wonderful, {}. Thank you so much.",
    "{}? Brilliant work, really.",
)
TROUBLES = ("the engine light", "another hour on hold", "the wrong car", "a bill twice as high", "a broken promise")


@dataclass
class World:
    """What the company has recorded, with what was planted so far."""

    events: pd.DataFrame
    feedback: pd.DataFrame
    rng: np.random.Generator
    sarcastic: list[str] = field(default_factory=list)
    """What people say sarcastically, where words are real; else sentences of our own stand in."""


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
    if world.sarcastic:
        said = world.rng.permutation(np.resize(np.array(world.sarcastic, dtype=object), len(rows)))
        feedback.loc[rows, "text"], feedback.loc[rows, "sarcastic"] = said, True
    else:
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
    rows = aimed & (world.rng.random(len(feedback)) < 0.8)
    feedback.loc[rows, "polarity"], feedback.loc[rows, "intensity"] = "positive", 3.0
    return replace(world, feedback=feedback)


def old_export(world: World, week: pd.Timestamp) -> World:
    """A job that names last winter's folder: nothing of the last half year is in it."""
    until = week - pd.Timedelta(days=182)
    return replace(world, events=world.events[world.events["occurred_at"] <= until],
                   feedback=world.feedback[world.feedback["said_at"] <= until])  # fmt: skip
