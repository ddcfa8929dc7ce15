"""Which exports were written where and when, so that an erasure can tell who has what, and which models learned it.

Keeps and lists records; writes no export (service/export.py does). An export in the data folder is the service's own
and is removed when somebody in it is erased; any other is its owner's, and is only told.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, String, Table, Text, select, update
from sqlalchemy.dialects.sqlite import insert

from models import ledger
from models.journey.event import Micros, format_time
from service.database import holds_nothing, metadata

exports = Table(
    "exports",
    metadata,
    Column("export_id", String, primary_key=True),
    Column("folder", String, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False, index=True),
    Column("digests", Text, nullable=False),
    Column("removed_at", BigInteger),
    **holds_nothing("folders, moments and hashes of files"),
)


@dataclass(frozen=True, slots=True)
class Export:
    """One export: `digests` is the SHA-256 of each of its files, by name."""

    export_id: str
    folder: Path
    made_at: Micros
    as_of: Micros
    digests: Mapping[str, str]
    removed_at: Micros | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "made_at": format_time(self.made_at),
            "as_of": format_time(self.as_of),
            "removed": self.removed_at is not None,
        }


def record(connection: Connection, export: Export) -> None:
    """Write down an export, or what its files became."""
    row = {
        "export_id": export.export_id, "folder": str(export.folder.resolve()), "made_at": export.made_at,
        "as_of": export.as_of, "digests": json.dumps(dict(export.digests)),
    }  # fmt: skip
    new = insert(exports).values(row)
    connection.execute(new.on_conflict_do_update(index_elements=["export_id"], set_={"digests": row["digests"]}))


def since(connection: Connection, first: Micros) -> list[Export]:
    """Every export as of `first` or later: whoever became known then is in it."""
    rows = connection.execute(select(exports).where(exports.c.as_of >= first).order_by(exports.c.made_at))
    return [
        Export(row.export_id, Path(row.folder), row.made_at, row.as_of, json.loads(row.digests), row.removed_at)
        for row in rows
    ]


def remove_within(connection: Connection, found: Sequence[Export], data: Path, now: Micros) -> int:
    """Delete those of these exports that lie in the data folder; says how many."""
    mine = [one for one in found if one.removed_at is None and data.resolve() in one.folder.parents]
    for one in mine:
        for folder in (one.folder, *one.folder.parent.glob(f".{one.folder.name}.*.partial")):
            shutil.rmtree(folder, ignore_errors=True)
        connection.execute(update(exports).where(exports.c.export_id == one.export_id).values(removed_at=now))
    return len(mine)


def learned_from(connection: Connection, root: Path, found: Sequence[Export], first: Micros) -> list[dict[str, Any]]:
    """Versions of the model that learned from one of these exports, and (`sure` false) those of which nobody can say:
    their data is no export that was recorded, and they went live once the person was known."""
    recorded, mine = since(connection, 0), {one.export_id for one in found}
    every = {digest for one in recorded for digest in one.digests.values()}
    without = {digest for one in recorded if one.export_id not in mine for digest in one.digests.values()}
    theirs = {digest for one in found for digest in one.digests.values()} - without  # the same file is without them
    versions = []
    for entry in ledger.history(root):
        data = _data_of(root, entry.digest)
        sure = bool(theirs & data)
        if sure or (not every & data and entry.live_since >= first):
            versions.append({"version": entry.version, "digest": entry.digest,
                             "live_since": format_time(entry.live_since), "sure": sure})  # fmt: skip
    return versions


def _data_of(root: Path, digest: str) -> set[str]:
    """The hashes of the files a bundle learned from; none where it does not say."""
    try:
        manifest = json.loads((ledger.bundle_folder(root, digest) / "manifest.json").read_text("utf-8"))
        return set(map(str, manifest["learned_from"]["data"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
