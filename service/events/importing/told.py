"""What the import command says: the first rows as events and touchpoints, and the counts in a sentence.

Knows rich; nothing else under importing/ does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from models.journey.event import Event, format_time
from models.journey.touchpoint import Catalogue, Touchpoint
from service.events.importing.refusals import FIRST_TOLD

_COLUMNS = ("occurred at", "event", "customer", "touchpoint", "stage", "amount", "text")


def preview_table(events: Sequence[Event], catalogue: Catalogue) -> Table:
    """The events, and the touchpoint that the catalogue makes of each; columns in which nothing stands are left out."""
    rows = [_cells(event, catalogue.touchpoint(event)) for event in events]
    table = Table()
    shown = [place for place in range(len(_COLUMNS)) if any(row[place] for row in rows)]
    for place in shown:
        table.add_column(_COLUMNS[place], overflow="fold", no_wrap=_COLUMNS[place] in ("touchpoint", "amount"))
    for row in rows:
        table.add_row(*(Text(row[place]) for place in shown))
    return table


def _cells(event: Event, point: Touchpoint | None) -> tuple[str, ...]:
    words = event.properties.get("text") if event.kind == "feedback" else point and point.text
    called = event.name if event.kind == "track" else f"{event.kind} {event.name}".strip()
    amount = f"{point.amount_minor / 100:.2f}" if point and point.amount_minor else ""
    return (
        format_time(event.occurred_at).replace("T", " "), called, event.user_id or event.anonymous_id or "",
        point.name if point else "", point.stage if point else "", amount, str(words or "")[:60],
    )  # fmt: skip


def refusals_told(first: Sequence[str], count: int, kept: bool) -> Iterator[str]:
    """A line for each of the first refused rows, and where to see all."""
    yield from first
    if count > FIRST_TOLD:
        yield f"… and {count - FIRST_TOLD:,} more"
    if count and not kept:
        yield "--refused FILE writes them all, as they were."


@contextmanager
def progress_of_import() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr where that is a terminal; elsewhere a line at the end."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    told: dict[str, int] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def tell(doing: str, done: int, of: int) -> None:
            told[doing] = done
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing, total=None)
            progress.update(tasks[doing], completed=done, total=of or None)

        yield tell
    console.print(", ".join(f"{count:,} {doing}" for doing, count in told.items()), style="dim", highlight=False)
