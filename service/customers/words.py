"""Which of a customer's words count: of each feedback its newest words, and of the same words sent twice the first.

Derived from what was said whenever it is asked, never stored: so late arrivals, joins and their undoing change it
rightly. Pure: knows no table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.features.text import content_hash
from models.journey.assembly import Feedback
from models.journey.event import Micros


@dataclass(frozen=True, slots=True)
class Said:
    """Words as they were folded. `edits`: the feedback whose words these replace; none for what was said first.

    `rated` and `scale` are there where a rating came on another scale than stars. `language` was detected where it was
    not `language_given`; none where nobody could tell.
    """

    feedback: Feedback
    edits: str | None = None
    received_at: Micros = 0
    rated: float | None = None
    scale: str | None = None
    language: str | None = None
    language_given: bool = False

    @property
    def id(self) -> str:
        """Of these very words; what is concluded is about it."""
        return self.feedback.feedback_id

    @property
    def about(self) -> str:
        """The feedback's own id, whichever version of it these words are."""
        return self.edits or self.id


@dataclass(frozen=True, slots=True)
class Sorted:
    """`counting`, oldest first; words `edited` since; and `repeats`, each with what counts in its place."""

    counting: tuple[Said, ...]
    edited: tuple[Said, ...]
    repeats: tuple[tuple[Said, Said], ...]

    @property
    def all(self) -> list[Said]:
        return [*self.counting, *self.others]

    @property
    def others(self) -> list[Said]:
        """What does not count."""
        return [*self.edited, *(one for one, _ in self.repeats)]


def sort_out(said: Iterable[Said], window: Micros) -> Sorted:
    """Of one customer's words, which count. `window`: how far apart the same words still are one feedback.

    >>> first = Said(Feedback("f1", "c", 1, 1, "chat", "So  good"))
    >>> found = sort_out([first, Said(Feedback("f2", "c", 5, 5, "mail", "So good"))], window=10)
    >>> [one.id for one in found.counting], [(one.id, counted.id) for one, counted in found.repeats]
    (['f1'], [('f2', 'f1')])
    """
    newest: dict[str, Said] = {}
    edited = []
    for each in sorted(said, key=_order):
        if before := newest.pop(each.about, None):
            edited.append(before)
        newest[each.about] = each
    standing = sorted(newest.values(), key=_order)
    counting, repeats, first = list[Said](), list[tuple[Said, Said]](), dict[str, Said]()
    for place, one in enumerate(standing):
        beside = (*standing[max(0, place - 1) : place], *standing[place + 1 : place + 2])
        if window and any(_apart(one, other) <= window for other in beside):
            content = content_hash(one.feedback.text)
            counted = first.get(content)
            if counted is not None and _apart(one, counted) <= window:
                repeats.append((one, counted))
                continue
            first[content] = one
        counting.append(one)
    return Sorted(tuple(counting), tuple(edited), tuple(repeats))


def _apart(one: Said, other: Said) -> Micros:
    return abs(one.feedback.said_at - other.feedback.said_at)


def _order(one: Said) -> tuple[Micros, Micros, str]:
    return one.feedback.said_at, one.feedback.known_at, one.id
