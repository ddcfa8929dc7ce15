"""The words that moved the model, marked in the text: cut into pieces, each with how far it moved the answer.

Asks the bundle that serves; answers are remembered in memory by the text's hash, as offsets and weights without words.
Where no bundle explains, nothing is marked. Whether the model's answer may be seen is the caller's to say.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Moved = Literal["", "toward", "away"]
Weights: TypeAlias = tuple[tuple[int, int, float], ...]
"""Start, end and weight of each word."""

LEAST_WEIGHT = 0.02
"""Words that moved the probability less are not marked."""
LEAST_SHARE = 0.2
"""Nor are those that moved it less than this share of what the strongest did."""
ORDERS = 2
"""Orders of the words that are tried: enough to tell the strongest, in a third of the time that exact weights take."""
REMEMBERED = 2_048


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text; where it `moved` the model, towards its answer or away from it, it is marked."""

    text: str
    moved: Moved = ""


@runtime_checkable
class Explains(Protocol):
    """A bundle that says how much each word moved the probability of an answer."""

    def why_words(self, text: str, answer: str, orders: int) -> Mapping[str, Any]: ...


@dataclass
class Marks:
    """Explains through a bundle and remembers. A text takes up to a second of a processor: a page asks for `known`."""

    _known: OrderedDict[str, Weights] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def known(self, digest: str | None, text: str, answer: str) -> list[Piece] | None:
        """The text in pieces, where they are remembered."""
        with self._lock:
            weights = self._known.get(_key(digest, text, answer))
        return None if weights is None else pieces(text, weights)

    def of(self, bundle: object, digest: str | None, text: str, answer: str) -> list[Piece]:
        """The text in pieces, those marked that moved this bundle's answer."""
        if (before := self.known(digest, text, answer)) is not None:
            return before
        told = bundle.why_words(text, answer, ORDERS).get("words", ()) if isinstance(bundle, Explains) and text else ()
        weights = tuple((one["start"], one["end"], one["weight"]) for one in told)
        with self._lock:
            self._known[_key(digest, text, answer)] = weights
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return pieces(text, weights)


def _key(digest: str | None, text: str, answer: str) -> str:
    return hashlib.sha256(f"{digest}\0{answer}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def pieces(text: str, weights: Weights) -> list[Piece]:
    """Cut the text at the words that moved the model most.

    >>> pieces("good, not bad", ((0, 4, 0.3), (4, 5, 0.0), (6, 9, -0.01), (10, 13, -0.1)))
    [Piece(text='good', moved='toward'), Piece(text=', not ', moved=''), Piece(text='bad', moved='away')]
    """
    strongest = max((abs(weight) for *_, weight in weights), default=0.0)
    least, found, at = max(LEAST_WEIGHT, LEAST_SHARE * strongest), list[Piece](), 0
    for start, end, weight in weights:
        if abs(weight) < least:
            continue
        if start > at:
            found.append(Piece(text[at:start]))
        found.append(Piece(text[start:end], "toward" if weight > 0 else "away"))
        at = end
    return [*found, Piece(text[at:])] if at < len(text) else found
