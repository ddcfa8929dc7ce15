"""What is live: the highest-numbered file of live/, created exclusively and never changed. Pointer and ledger in one.

Only reads; training publishes. Layout under the folder: versions/<digest>/ and live/000007.json.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.journey.event import Micros, format_time, parse_time

_ENTRY = re.compile(r"([0-9]{6})\.json")


class LedgerError(ValueError):
    """An entry of the ledger cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """Which bundle went live, as which version, when, by whom and why.

    `forced` where it went live although the gate had refused it; `gate` names the report of the gate, under the root.
    """

    version: int
    digest: str
    live_since: Micros
    by: str
    why: str
    forced: bool = False
    gate: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "live_since": format_time(self.live_since)}


def current(root: Path) -> LiveEntry | None:
    """The entry in force, or None where nothing was ever published. Raises LedgerError."""
    numbers = _numbers(root)
    return read_entry(root, numbers[-1]) if numbers else None


def history(root: Path) -> list[LiveEntry]:
    """Every entry, oldest first."""
    return [read_entry(root, number) for number in _numbers(root)]


def live_at(root: Path, moment: Micros) -> LiveEntry | None:
    """The entry that was in force at a moment, or None where nothing was live yet."""
    return next((entry for entry in reversed(history(root)) if entry.live_since <= moment), None)


def read_entry(root: Path, version: int) -> LiveEntry:
    path = root / "live" / f"{version:06d}.json"
    try:
        data = json.loads(path.read_text("utf-8"))
        digest, live_since, by, why = (str(data[key]) for key in ("digest", "live_since", "by", "why"))
        gate = data.get("gate")
        return LiveEntry(version, digest, parse_time(live_since), by, why, bool(data.get("forced", False)), gate)
    except KeyError as error:
        raise LedgerError(f"live/{path.name} cannot be read: it lacks {error}") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"live/{path.name} cannot be read: {error}") from None


def bundle_folder(root: Path, digest: str) -> Path:
    """Where the bundle with this digest lies. Raises LedgerError for a digest that would lead out of versions/."""
    if not digest or digest in (".", "..") or set(digest) & set("/\\\0"):
        raise LedgerError(f"{digest!r} is no digest; it names a folder of versions/")
    return root / "versions" / digest


def _numbers(root: Path) -> list[int]:
    names = (path.name for path in (root / "live").glob("*.json"))
    return sorted(int(match[1]) for match in map(_ENTRY.fullmatch, names) if match)
