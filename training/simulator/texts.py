"""Writing what customers say: clauses about a topic, joined, opened, closed and typed as people type.

What a text says depends on the touchpoint and the polarity that were drawn for it, never on the hidden state. Its
labels come from the clauses that it was made of, so they are true by making. English only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from training.simulator.fragments import Clause
from training.simulator.fragments.glue import AND, BUT, CLOSERS, EMOJI, OPENERS, SHAME, SLOTS, TERSE, TOPICS
from training.simulator.fragments.negative import NEGATIVE
from training.simulator.fragments.neutral import NEUTRAL
from training.simulator.fragments.nuanced import GRATEFUL, HURT, IRONIC, MIXED, POLITELY_ANGRY, RESIGNED
from training.simulator.fragments.positive import POSITIVE
from training.simulator.odds import NUANCES, RATED, RATINGS

MAX_WORDS = 60
_DRAWS = 64  # uniform draws laid ready for one text; no text uses as many
_ASKING = ("is ", "can ", "where ", "which ", "what ", "does ", "do ", "how ", "when ", "who ")
_PLAIN = {"positive": POSITIVE, "negative": NEGATIVE, "neutral": NEUTRAL}
_CALM = {"resigned", "grateful_but_hurt", "politely_angry"}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One text with its true labels. `intensity` runs from -4 to 4; `rating` is 1 to 5 stars or None."""

    text: str
    rating: int | None
    polarity: str
    emotions: tuple[str, ...]
    intensity: float
    nuance: str


def write_feedback(touchpoint: str, polarity: str, draws: Sequence[float], in_use: float = 1.0) -> Feedback:
    """Write one text for a touchpoint and a polarity, from uniform `draws` in [0, 1) (see `draws_for`).

    `in_use` is the share of all clauses that people have come up with so far: people never stop finding new words, and
    a reader that only knows old ones by heart shall be found out.

    >>> said = write_feedback("call.complaint", "negative", draws_for(1, np.random.default_rng(6))[0])
    >>> said.text, said.nuance, said.intensity
    ('Best hotline ever, it even hung up for me. Thanks for nothing.', 'ironic', -3.0)
    """
    dice = _Dice(draws, in_use)
    nuance = dice.weigh(NUANCES[polarity])
    rating = _rating(touchpoint, polarity, dice)
    words, clauses = _compose(dice.pick(TOPICS[touchpoint]), polarity, nuance, dice)
    loud = nuance == "plain" and polarity != "neutral" and dice.roll() < 0.15
    intensity = sum(clause[1] for clause in clauses) / len(clauses) * (1.25 if loud else 1.0)
    emotions = list(dict.fromkeys(name for clause in clauses for name in clause[2].split()))
    felt = tuple(name for name in emotions if name != "neutral")[:4] or ("neutral",)
    text = _typed(_filled(words, dice), polarity, nuance, loud, dice)
    return Feedback(text, rating, polarity, felt, round(max(-4.0, min(4.0, intensity)), 2), nuance)


def draws_for(texts: int, rng: np.random.Generator) -> list[list[float]]:
    """Uniform draws for so many texts, one list each."""
    drawn: list[list[float]] = rng.random((texts, _DRAWS)).tolist()
    return drawn


class _Dice:
    """Hands out uniform draws one after another; far quicker than asking a Generator for one at a time."""

    def __init__(self, draws: Sequence[float], in_use: float) -> None:
        self._draws = iter(draws)
        self._in_use = in_use

    def roll(self) -> float:
        return next(self._draws)

    def pick(self, among: Sequence[_T]) -> _T:
        return among[int(next(self._draws) * len(among))]

    def clause(self, among: Sequence[Clause]) -> Clause:
        """One of the clauses that are in use by now."""
        return among[int(next(self._draws) * max(1.0, len(among) * self._in_use))]

    def weigh(self, shares: dict[str, float]) -> str:
        left = next(self._draws)
        for name, share in shares.items():
            left -= share
            if left < 0:
                return name
        return next(reversed(shares))


def _rating(touchpoint: str, polarity: str, dice: _Dice) -> int | None:
    given, stars = dice.roll() < RATED.get(touchpoint, 0.0), dice.roll()
    if not given:
        return None
    edges: list[float] = np.cumsum(RATINGS[polarity])[:4].tolist()
    return 1 + sum(stars >= edge for edge in edges)


def _compose(topic: str, polarity: str, nuance: str, dice: _Dice) -> tuple[str, list[Clause]]:
    """Words without slots filled, and the clauses in them."""
    if nuance == "plain" and dice.roll() < 0.06:
        clause = dice.clause(TERSE[polarity])
        return _sentence(clause[0], polarity), [clause]
    if nuance == "mixed":
        body, clauses = _both_sides(topic, dice)
    elif nuance == "grateful_but_hurt":
        clauses = [dice.clause(GRATEFUL), dice.clause(HURT)]
        body = _joined(clauses[0][0], dice.pick(BUT), clauses[1][0])
    else:
        clauses = _one_sided(topic, polarity, nuance, dice)
        body = clauses[0][0] if polarity != "neutral" else _sentence(clauses[0][0], polarity)
        for clause in clauses[1:]:  # a question does not take a joiner
            join = dice.pick(AND) if polarity != "neutral" else " "
            body = _joined(body, join, clause[0] if polarity != "neutral" else _sentence(clause[0], polarity))
    return _framed(body, f"plain:{polarity}" if nuance == "plain" else nuance, polarity, dice), clauses


def _one_sided(topic: str, polarity: str, nuance: str, dice: _Dice) -> list[Clause]:
    clauses, size = [dice.clause(_source(topic, polarity, nuance))], dice.roll()
    if nuance in ("resigned", "politely_angry") and size > 0.35:  # what it is about, said plainly
        reason, tone = dice.clause(NEGATIVE[topic]), clauses[0]
        if nuance == "resigned":  # told without heat, whatever others would feel about it
            reason = (reason[0], tone[1], tone[2])
        clauses.insert(0 if dice.roll() < 0.6 else 1, reason)
    elif nuance in ("plain", "ironic") and size > (0.45 if nuance == "plain" else 0.80):
        clauses.append(dice.clause(_source(topic, polarity, nuance)))
    if nuance == "plain" and size > 0.85:
        clauses.append(dice.clause(_source(dice.pick(tuple(_PLAIN[polarity])), polarity, nuance)))
    return list(dict.fromkeys(clauses))


def _source(topic: str, polarity: str, nuance: str) -> list[Clause]:
    if nuance == "resigned":
        return RESIGNED
    if nuance == "politely_angry":
        return POLITELY_ANGRY
    return IRONIC[topic] if nuance == "ironic" else _PLAIN[polarity][topic]


def _both_sides(topic: str, dice: _Dice) -> tuple[str, list[Clause]]:
    shape = dice.roll()
    if shape < 0.2:
        clause = dice.clause(MIXED)
        return clause[0], [clause]
    other = topic if dice.roll() < 0.5 else dice.pick(tuple(POSITIVE))
    good, bad = dice.clause(POSITIVE[topic]), dice.clause(NEGATIVE[other])
    if shape < 0.65:
        return _joined(good[0], dice.pick(BUT + SHAME), bad[0]), [good, bad]
    return _joined(bad[0], dice.pick(BUT), good[0]), [bad, good]


def _framed(body: str, kind: str, polarity: str, dice: _Dice) -> str:
    opener = dice.pick(OPENERS[kind]) if dice.roll() < 0.5 else ""
    closer = dice.pick(CLOSERS[kind]) if dice.roll() < 0.45 else ""
    if opener.endswith("."):
        body = _capital(body)
    elif opener and body[:2] not in ("I ", "AR") and polarity == "neutral":
        body = body[0].lower() + body[1:]
    body = _sentence(f"{opener} {body}".strip(), polarity)
    return f"{body} {closer}" if closer and len(body.split()) < MAX_WORDS - 12 else body


def _joined(first: str, joiner: str, second: str) -> str:
    return first + joiner + (_capital(second) if joiner == ". " else second)


def _sentence(words: str, polarity: str) -> str:
    if words[-1] not in ".?!":
        words += "?" if polarity == "neutral" and words.lower().startswith(_ASKING) else "."
    return _capital(words)


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _filled(words: str, dice: _Dice) -> str:
    """Fill the slots; the same slot twice gets the same filling, since one text speaks of one car."""
    for slot, fillings in SLOTS.items():
        if f"{{{slot}}}" in words:
            words = words.replace(f"{{{slot}}}", dice.pick(fillings))
    return words


def _typed(text: str, polarity: str, nuance: str, loud: bool, dice: _Dice) -> str:
    if loud:
        text = text.replace(".", "!!" if dice.roll() < 0.3 else "!")
    habit = dice.roll()
    if nuance in _CALM:
        return text
    if habit < 0.10:
        text = text.lower()
    elif habit < 0.18:
        text = _mistyped(text, dice)
    elif habit < 0.22:
        text = text.rstrip(".")
    if dice.roll() < 0.12:
        text = f"{text} {dice.pick(EMOJI['ironic' if nuance == 'ironic' else polarity])}"
    return text


def _mistyped(text: str, dice: _Dice) -> str:
    """Swap two neighbouring letters, or lose one."""
    at = 1 + int(dice.roll() * (len(text) - 2))
    if not (text[at - 1].isalpha() and text[at : at + 1].isalpha()):
        return text
    return text[: at - 1] + (text[at] + text[at - 1] if dice.roll() < 0.5 else text[at]) + text[at + 1 :]
