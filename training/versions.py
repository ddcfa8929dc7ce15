"""Which stored bundle somebody means: the number of an entry, the first letters of a digest, a day, or the latest one.

Reads the ledger and the manifests. Publishes nothing (publish.py) and judges nothing (gate/).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.journey.event import DAY, Micros, format_time, parse_time
from models.ledger import LiveEntry, history, live_at

LATEST = "latest"
_DAY, _NUMBER, _DIGEST = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"\d{1,6}"), re.compile(r"[0-9a-f]{6,64}")


class VersionError(ValueError):
    """No stored bundle, or more than one, is what was named; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A bundle under versions/: `created_at` and `learned_from` as its manifest tells them."""

    digest: str
    created_at: Micros
    learned_from: dict[str, Any]


def moment_named(text: str) -> Micros:
    """A moment in ISO 8601; a day alone is its last moment, UTC: what was live on it, when it was over.

    >>> moment_named("1970-01-01") + 1 == moment_named("1970-01-02T00:00:00Z")
    True

    Raises VersionError.
    """
    try:
        found = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise VersionError(f"{error}; or give a number, a day such as 2026-11-21, or a digest") from None
    return found + DAY - 1 if _DAY.fullmatch(text.strip()) else found


def entry_named(root: Path, wanted: str) -> LiveEntry:
    """The entry of the ledger that is meant by a number, a day, a moment, or the first letters of a digest (6 or more).

    Raises VersionError, or LedgerError where an entry cannot be read.
    """
    entries = history(root)
    if not entries:
        raise VersionError(f"{root}/live holds no entry yet; nothing was ever live")
    if _NUMBER.fullmatch(wanted):
        found = next((one for one in entries if one.version == int(wanted)), None)
        if found is None:
            raise VersionError(f"version {wanted} was never live; there are {_numbers(entries)}")
        return found
    if _DIGEST.fullmatch(wanted):
        matching = [one for one in entries if one.digest.startswith(wanted)]
        if len({one.digest for one in matching}) != 1:
            what = "more than one bundle that was live" if matching else "no bundle that was ever live"
            raise VersionError(f"digest {wanted} is the beginning of {what}; see `python -m training history`")
        return matching[-1]
    moment = moment_named(wanted)
    then = live_at(root, moment)
    if then is None:
        first = f"version {entries[0].version} went live {format_time(entries[0].live_since)}"
        raise VersionError(f"nothing was live at {format_time(moment)}; {first}")
    return then


def stored_named(root: Path, wanted: str) -> Stored:
    """The stored bundle that is meant by the first letters of its digest, or the one that was made last.

    Raises VersionError.
    """
    known = stored(root)
    if not known:
        raise VersionError(f"{root}/versions holds no bundle; train one: python -m training train --no-promote")
    if wanted == LATEST:
        return known[-1]
    found = [one for one in known if one.digest.startswith(wanted)] if _DIGEST.fullmatch(wanted) else []
    if len(found) != 1:
        what = f"{len(found)} stored bundles begin" if found else "no stored bundle begins"
        shown = ", ".join(one.digest[:12] for one in known[-5:])
        raise VersionError(f"{what} with {wanted!r}; give 6 letters or more of a digest, or {LATEST}; newest: {shown}")
    return found[0]


def stored(root: Path) -> list[Stored]:
    """Every bundle under versions/ that has a manifest, the one made last at the end."""
    found = []
    for path in (root / "versions").glob("*/manifest.json"):
        try:
            manifest = json.loads(path.read_text("utf-8"))
            found.append(Stored(path.parent.name, parse_time(manifest["created_at"]), manifest["learned_from"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged: whoever asks for it is told when it is checked
    return sorted(found, key=lambda one: (one.created_at, one.digest))


def _numbers(entries: list[LiveEntry]) -> str:
    numbers = [one.version for one in entries]
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
