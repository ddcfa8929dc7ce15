"""The queue of cases: which comes first, which are read twice, and which are about the same words.

Pure and without a clock. Knows nothing of people and claims (review.py) and nothing of tables.

The queue is worked in the order of `place_in_queue`:

    place = waiting since - head start
    head start = 7 days x chance of overturning x stake, and 37 days more where it is urgent

A place never changes while a case waits, so the next case is one look into an index, and ageing is built in: whatever
comes more than 44 days after a case stands behind it, so nothing starves. An urgent case stands before every other that
came less than 30 days before it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from models.journey.event import DAY, Micros

_LONG_NUMBER = re.compile(r"\d{4,}")
_REPEATED = re.compile(r"([^\w\s]{1,3})\1+")

AHEAD: Micros = 7 * DAY
"""Head start of a case that is certain to be overturned and has all at stake."""
URGENT_AHEAD: Micros = 30 * DAY + AHEAD
LEAST_STAKE = 0.2
"""What is at stake with somebody who has bought nothing yet."""
HALF_STAKE_MINOR = 100_000
"""Money spent, in minor units of whatever currency, that is worth half of what any sum can add to the stake."""
PRIOR_CASES = 20
"""Cases for which the model's own doubt counts beside what people did under a flag."""
EVEN_CHANCE = 0.5
"""The chance of overturning where the model says nothing of its confidence."""


def chance_of_overturning(confidence: float | None, seen: Sequence[tuple[int, int]] = ()) -> float:
    """How likely a person says something else than the model: its own doubt, corrected by what people did before.

    `seen` holds, for each flag of the case, how many cases with it people answered and how many of those they
    overturned; the flag that they overturn most counts. The mean of a Beta distribution (Gelman et al. 2013, 2.4)
    whose prior is the doubt 1 - confidence, worth 20 cases.

    >>> round(chance_of_overturning(0.9), 2), round(chance_of_overturning(0.9, [(80, 60)]), 2)
    (0.1, 0.62)
    """
    doubt = EVEN_CHANCE if confidence is None else min(max(1 - confidence, 0.0), 1.0)
    rates = [(over + PRIOR_CASES * doubt) / (answered + PRIOR_CASES) for answered, over in seen]
    return max(rates, default=doubt)


def stake(spent_minor: int, least: float = LEAST_STAKE, half_at_minor: int = HALF_STAKE_MINOR) -> float:
    """What a wrong answer may cost, from `least` (bought nothing) towards 1, by money spent so far in minor units.

    >>> [round(stake(spent), 2) for spent in (0, 100_000, 10_000_000)]
    [0.2, 0.6, 0.99]
    """
    spent = max(spent_minor, 0)
    return least + (1 - least) * spent / (spent + half_at_minor)


def place_in_queue(waiting_since: Micros, chance: float, stake: float, *, urgent: bool, blind: bool = False) -> Micros:
    """Where a case stands in the queue, lowest first: since when it waits, less its head start.

    What was drawn to be read blind has the head start of all at stake, whatever it is, so that its place tells nothing.

    >>> doubtful, sure = (place_in_queue(0, chance, 0.6, urgent=False) for chance in (0.5, 0.1))
    >>> doubtful < sure < place_in_queue(5 * DAY, 0.5, 0.6, urgent=False)
    True
    >>> place_in_queue(30 * DAY, 0.0, 0.2, urgent=True) < sure
    True
    """
    ahead = AHEAD if blind else round(AHEAD * chance * stake)
    return waiting_since - ahead - (URGENT_AHEAD if urgent else 0)


def lot_of(subject: str, *, blind: bool = False) -> float:
    """Where the lot fell that says whether a case is read twice: uniform in [0, 1) and always the same.

    Below 0 for words that were drawn at random to be read blind: by two people wherever any case is.
    """
    return -1.0 if blind else drawn("twice", subject)


def words_key(words: str) -> str | None:
    """Names words that differ in capitals, spacing, repeated marks and long numbers alone by the same key.

    Long numbers (four digits and more) are of orders and cases; short ones and smileys carry feelings, so they count.
    None where there are no words.

    >>> words_key("Where is my order 4711?!?!") == words_key("where is  my ORDER 1234?!")
    True
    >>> words_key("Thanks :)") == words_key("Thanks :("), words_key("1 of 10") == words_key("9 of 10"), words_key("  ")
    (False, False, None)
    """
    plain = " ".join(unicodedata.normalize("NFKC", words).casefold().split()).rstrip(". ")
    plain = _REPEATED.sub(r"\1", _LONG_NUMBER.sub("#", plain))
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:32] if plain else None


def drawn(what: str, subject: str) -> float:
    """A lot in [0, 1) for one subject, for one purpose: by chance, and always the same."""
    return int.from_bytes(hashlib.sha256(f"{what}:{subject}".encode()).digest()[:8], "big") / 2**64
