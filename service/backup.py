"""`python -m service backup` and `restore`: both databases as one folder, verified; the service writes meanwhile.

    service.db   log.db      each one file, whole in itself
    manifest.json            format, when it was made, and of each database: sha256, schema, rows of every table

Copies no bundles: files of versions/ and live/ never change, any copy of them is a backup. Migrates nothing: a backup
is what lies there, and the service that opens a restored one brings it to the newest schema.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from models.journey.event import Micros, format_time
from service.clock import Ids
from service.database import UNFINISHED, known_revisions
from service.errors import Conflict, Invalid, NotFound

FORMAT = 1
MANIFEST = "manifest.json"

Name = Literal["service", "log"]
ORDER: tuple[Name, ...] = ("service", "log")
"""service.db says up to which row the log is folded, and log.db only ever grows. Copied in this order, each in one
transaction, the log holds every row that service.db has folded; rows that came meanwhile are folded after a restore.
The other way round, service.db could have folded rows that the copy of the log lacks: those would be lost, and new ones
would take their numbers and never be folded."""

Tell = Callable[[str], None]


def backup(data: Path, folder: Path, now: Micros, ids: Ids, tell: Tell = lambda done: None) -> dict[str, Any]:
    """Write `folder`, whole or not at all; returns its manifest. `tell` hears of each database once it is copied.

    Raises NotFound where there are no databases, Conflict where the folder exists and is not empty or lies in the data
    folder, Invalid where a database is damaged.
    """
    for name in ORDER:
        if not _path(data, name).is_file():
            raise NotFound(f"There is no {name}.db in {data}.", "Set JOURNEY_DATA_DIR to the service's data folder.",
                           code="no_data", field="data_dir", value=str(data))  # fmt: skip
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} exists and is not empty.", "Name a new folder.", code="folder_taken", field="DIR",
                       value=str(folder))  # fmt: skip
    if data.resolve() in folder.resolve().parents:
        raise Conflict(f"{folder} lies in the data folder.", "Name a folder elsewhere: a backup must outlive that one, "
                       "and whoever is erased must be gone from it.", code="folder_in_data", field="DIR",
                       value=str(folder))  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{ids()}.partial")
    partial.mkdir(mode=0o700)
    try:
        manifest: dict[str, Any] = {"format": FORMAT, "made_at": format_time(now), "databases": {}}
        for name in ORDER:
            manifest["databases"][name] = _copy(_path(data, name), _path(partial, name))
            tell(name)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        verify(partial)
        _to_disk(partial)
        partial.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return manifest


def restore(data: Path, folder: Path, *, replace: bool = False) -> dict[str, Any]:
    """Put a backup in the place of what is in the data folder; returns its manifest. Verified before anything changes.

    Raises Invalid where the backup is damaged or newer than this program, Conflict where data would be overwritten
    without `replace` or a service still works on it. Cut off in the middle, it is to be run again.
    """
    manifest = verify(folder)
    data.mkdir(parents=True, exist_ok=True)
    if any(data.iterdir()) and not replace:
        raise Conflict(f"{data} is not empty.", "Add --replace to give up what is in it, or set JOURNEY_DATA_DIR to a "
                       "new folder.", code="data_not_empty", field="data_dir", value=str(data))  # fmt: skip
    partial = data / UNFINISHED
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        for name in (*map(_file, ORDER), MANIFEST):
            shutil.copyfile(folder / name, partial / name)
        verify(partial)
        _to_disk(partial)
        for name in ORDER:
            _nobody_uses(_path(data, name))
    except BaseException:
        shutil.rmtree(partial)
        raise
    for name in ORDER:
        old = _path(data, name)
        for beside in ("-wal", "-shm", "-journal"):  # of the old file: SQLite would play them into the new one
            old.with_name(old.name + beside).unlink(missing_ok=True)
        _path(partial, name).replace(old)
    _sync(data)
    shutil.rmtree(partial)
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Check hashes, structure, rows and that the pair fits; returns the manifest. Raises NotFound or Invalid."""
    if not (folder / MANIFEST).is_file():
        raise NotFound(f"{folder} is no backup: it holds no {MANIFEST}.", "Name a folder that `python -m service "
                       "backup` wrote.", code="no_backup", field="DIR", value=str(folder))  # fmt: skip
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise _damaged(f"{folder} has format {manifest['format']!r}, not {FORMAT}")
        told = {name: dict(manifest["databases"][name]) for name in ORDER}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(f"{folder / MANIFEST} cannot be read ({error!r:.80})") from None
    for name in ORDER:
        _verify_one(_path(folder, name), name, told[name])
    with _reading(_path(folder, "service")) as service, _reading(_path(folder, "log")) as log:
        folded = _number(service, "SELECT max(seq) FROM cursors WHERE name = 'projector'")
        head = _number(log, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'log'")
    if folded > head:
        raise _damaged(f"service.db has folded row {folded} of a log that ends with row {head}")
    return manifest


def _verify_one(path: Path, name: Name, told: Mapping[str, Any]) -> None:
    if not path.is_file() or _sha256(path) != told.get("sha256"):
        raise _damaged(f"{path.name} is missing or not the file that was written")
    if told.get("schema") not in known_revisions(name):
        raise Invalid(f"{path.name} has schema {told.get('schema')}, which this program does not know.",
                      "Restore it with the version that made it, or a newer one.", code="backup_newer",
                      field="schema", value=told.get("schema"), allowed=known_revisions(name))  # fmt: skip
    with _reading(path) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            raise _damaged(f"{path.name}: {found[0]}")
        if _rows(connection) != told.get("rows"):
            raise _damaged(f"{path.name} does not hold the rows that were counted")


def _copy(source: Path, target: Path) -> dict[str, Any]:
    """Copy one database and describe it.

    Within one read transaction, and in one step: readers and writers go on meanwhile (WAL), rows are counted at the
    same moment as they are copied, and a database that is written all the time is copied all the same (in several
    steps, SQLite would begin again after every write).
    """
    with closing(_connect(source, "ro")) as connection, closing(sqlite3.connect(target)) as copy:
        try:
            connection.execute("BEGIN")
            rows, schema = _rows(connection), _schema(connection)
            connection.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, which can be opened where nothing may be written
        except sqlite3.DatabaseError as error:
            raise _damaged(f"{source} cannot be copied ({error})") from None
    return {"sha256": _sha256(target), "bytes": target.stat().st_size, "schema": schema, "rows": rows}


def _nobody_uses(path: Path) -> None:
    """Raises Conflict while another process has the database open: leaving WAL needs it alone, and empties the WAL."""
    if not path.exists():
        return
    try:
        with closing(_connect(path, "rw")) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return
        mode = "wal"
    except sqlite3.DatabaseError:  # damaged: that may be why it is replaced
        return
    if mode == "wal":
        raise Conflict(f"{path} is in use.", "Stop the service and its worker first.", code="data_in_use",
                       field="data_dir", value=str(path.parent))  # fmt: skip


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A file that nobody writes, opened so that nothing is written beside it either."""
    try:
        with closing(_connect(path, "ro&immutable=1")) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _damaged(f"{path} is no whole database ({error})") from None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, timeout=5, isolation_level=None)


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return {name: _number(connection, f'SELECT count(*) FROM "{name}"') for (name,) in tables}  # noqa: S608 - own names


def _schema(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else ""


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0] or 0)


def _damaged(what: str) -> Invalid:
    return Invalid(f"{what}.", "Use another backup.", code="damaged", field="DIR")


def _file(name: Name) -> str:
    return f"{name}.db"


def _path(folder: Path, name: Name) -> Path:
    return folder / _file(name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        _sync(path)


def _sync(path: Path) -> None:
    """What was written is on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
