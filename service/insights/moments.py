"""The moment that a request names: read, and refused where nothing can be known of it. Concludes nothing."""

from __future__ import annotations

from models.journey.event import LATEST, Micros, format_time, parse_time
from service.errors import Invalid


def moment_of(field: str, given: str) -> Micros:
    """A moment in a request. Raises Invalid naming the field."""
    try:
        return parse_time(given)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{field}: {error}.", "Send ISO 8601 in UTC, ending in Z.", field=field, value=given) from None


def check_past(as_of: Micros, now: Micros) -> None:
    """Raises Invalid for a moment that nothing can be known of."""
    if as_of > now:
        raise Invalid("as_of lies in the future.", "Ask for a moment up to now, or leave it out.", field="as_of",
                      value=format_time(as_of) if as_of <= LATEST else None)  # fmt: skip
