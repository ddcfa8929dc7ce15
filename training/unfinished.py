"""Runs that were not finished: what each has done so far, kept where a run of the same data and settings finds it.

    unfinished/<first letters of the digest>/
        run.json       what the run is of: settings, data, code; the digest is over this
        checkpoints/   each net as of its last epoch
        answers/       what was measured, for each question that is finished
        bundle/        files of the bundle so far        plots/   pictures so far

One process at a time works on a run (a lock, which ends with its process). When the bundle is stored the folder goes.
It trains nothing, and nothing in it is ever served.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

import models
from training.checkpoint import write_whole

FOLDER = "unfinished"
_RUN, _LOCK, _KEPT = "run.json", "lock", ("checkpoints", "answers", "bundle", "plots")


class UnfinishedError(ValueError):
    """A run cannot be gone on with; the message says why and what to do."""


@dataclass(frozen=True)
class Unfinished:
    """A run under way in its folder; `resumed` where an earlier process began it."""

    folder: Path
    resumed: bool

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def plots(self) -> Path:
        return self.folder / "plots"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def holds_something(self) -> bool:
        return any(self.checkpoints.iterdir()) or any((self.folder / "answers").iterdir())

    def answered(self, question: str, rng: np.random.Generator) -> dict[str, Any] | None:
        """What was kept of a finished question, `rng` being put where it was after it; None for one not finished."""
        path = self._answer(question)
        if not path.is_file():
            return None
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        rng.bit_generator.state = kept["rng"]
        return dict(kept["answer"])

    def keep(self, question: str, answer: Mapping[str, Any], rng: np.random.Generator) -> None:
        """Keep the answer to a question whose files are all in the bundle."""
        kept = {"answer": dict(answer), "rng": dict(rng.bit_generator.state)}
        write_whole(self._answer(question), json.dumps(kept, ensure_ascii=False).encode())

    def _answer(self, question: str) -> Path:
        return self.folder / "answers" / f"{question.replace('/', '.')}.json"


@contextmanager
def open_run(out: Path, what: Mapping[str, Any], *, resume: Path | None, fresh: bool) -> Iterator[Unfinished]:
    """The run of this under `out`: gone on with where it was left unfinished, else begun.

    `what` tells everything that its outcome depends on. `resume` names the folder that must be it; `fresh` forgets what
    was done. Left by an exception, the folder stays if anything is worth keeping. Raises UnfinishedError before
    anything is written.
    """
    digest = digest_of(what)
    folder = out / FOLDER / digest[:12] if resume is None else resume
    if resume is not None:
        _check(resume, what, digest)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, blocking=False):
            run = _begin(folder, what, fresh)
            try:
                yield run
            except BaseException:
                if not run.holds_something:
                    _remove(folder)
                raise
            _remove(folder)
    except Timeout:
        raise UnfinishedError(
            f"{folder}: another process is training this very run; wait for it, or name another folder with --out"
        ) from None


def _begin(folder: Path, what: Mapping[str, Any], fresh: bool) -> Unfinished:
    """Under the lock. What lies there of other words than `what` (or of none) counts as nothing; so does a run whose
    bundle is gone: it was stored, and its process was killed before it could clean up."""
    path, told = folder / _RUN, _told(what)
    resumed = not fresh and path.is_file() and path.read_bytes() == told and (folder / "bundle").is_dir()
    for left in list((folder / "bundle").rglob(".*")):  # half-written when its process was killed, and no part of it
        shutil.rmtree(left, ignore_errors=True)
    if not resumed:
        for name in _KEPT:
            shutil.rmtree(folder / name, ignore_errors=True)
        write_whole(path, told)
    for name in _KEPT:
        (folder / name).mkdir(exist_ok=True)
    return Unfinished(folder, resumed)


def _check(folder: Path, what: Mapping[str, Any], digest: str) -> None:
    try:
        found = json.loads((folder / _RUN).read_text("utf-8"))
    except (OSError, ValueError):
        fix = (
            f"name a folder in {FOLDER}/, or leave --resume out: a run of the same data and settings is found by itself"
        )
        raise UnfinishedError(f"--resume {folder}: is no unfinished run; {fix}") from None
    theirs = digest_of(found)
    if theirs != digest:
        differ = ", ".join(_differing(found, what)) or "order"
        raise UnfinishedError(
            f"--resume {folder}: is the run {theirs[:12]}, and what you ask for is {digest[:12]}: {differ} differ; "
            "give the same files and settings, or leave --resume out to begin anew"
        )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of what two nested mappings say otherwise."""
    names = []
    for key in sorted({*one, *other}):
        ours, theirs = one.get(key), other.get(key)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            names += _differing(ours, theirs, f"{prefix}{key}.")
        elif ours != theirs:
            names.append(f"{prefix}{key}")
    return names


def leftovers(out: Path) -> list[str]:
    """A line for each folder under `out` that a run which was stopped has left."""
    lines = [
        f"{path}: an unfinished run; it goes on when `train` is given the same data and settings, or can be removed"
        for path in sorted((out / FOLDER).glob("*"))
        if (path / _RUN).is_file()
    ]
    return lines + [
        f"{path}: left by a run that was killed; it can be removed" for path in sorted(out.glob(".building-*"))
    ]


def digest_of(what: Mapping[str, Any]) -> str:
    """Sha256 of a nested mapping that JSON can hold."""
    return hashlib.sha256(_told(what)).hexdigest()


def code_digest() -> str:
    """Sha256 over every source file that decides what is learned: edited code is another run, whatever its version."""
    found = hashlib.sha256()
    for package in (Path(models.__file__).parent, Path(__file__).parent):
        for path in sorted(package.rglob("*.py")):
            found.update(f"{package.name}/{path.relative_to(package)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def _told(what: Mapping[str, Any]) -> bytes:
    return (json.dumps(what, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _remove(folder: Path) -> None:
    """And the folder of all such, where it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
